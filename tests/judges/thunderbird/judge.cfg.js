// Runs inside Thunderbird with its privileges, through AutoConfig: opens mails, reports verdicts.
// (The first line of an AutoConfig file is always ignored/treated as comment.)
/* global Components, ChromeUtils, Services, Cc, Ci */
try {
  (function () {
    const { Services: S, ChromeUtils: CU } = globalThis;
    const env = S.env;
    const jobPath = env.get("SCEAU_JUDGE_JOB");
    if (!jobPath) {
      return;
    }

    function readText(path) {
      const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
      file.initWithPath(path);
      const fis = Cc["@mozilla.org/network/file-input-stream;1"].createInstance(Ci.nsIFileInputStream);
      fis.init(file, 1, 0, 0);
      const sis = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
      sis.init(fis);
      let s = "", chunk;
      while ((chunk = sis.read(65536))) {
        s += chunk;
      }
      sis.close();
      return s;
    }

    const job = JSON.parse(readText(jobPath));

    function emit(obj) {
      const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
      file.initWithPath(job.out);
      const fos = Cc["@mozilla.org/network/file-output-stream;1"].createInstance(Ci.nsIFileOutputStream);
      fos.init(file, 0x02 | 0x08 | 0x10, 0o600, 0); // WRONLY|CREATE|APPEND
      // Escape every non-ASCII unit, so that writing chars as bytes is safe.
      const line =
        JSON.stringify(obj).replace(
          /[\u007f-\uffff]/g,
          c => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0")
        ) + "\n";
      fos.write(line, line.length);
      fos.close();
    }

    const timer = (ms, fn) => {
      const t = Cc["@mozilla.org/timer;1"].createInstance(Ci.nsITimer);
      t.initWithCallback({ notify: fn }, ms, Ci.nsITimer.TYPE_ONE_SHOT);
      return t;
    };
    const live = new Set();
    const sleep = ms =>
      new Promise(r => {
        const t = timer(ms, () => {
          live.delete(t);
          r();
        });
        live.add(t);
      });
    const within = (p, ms, what) =>
      Promise.race([
        p,
        sleep(ms).then(() => {
          throw new Error("timeout: " + what);
        }),
      ]);

    const STATUS = {};
    function statusName(n) {
      if (!Object.keys(STATUS).length) {
        for (const k of Object.keys(Ci.nsICMSMessageErrors)) {
          if (typeof Ci.nsICMSMessageErrors[k] == "number") {
            STATUS[Ci.nsICMSMessageErrors[k]] = k;
          }
        }
      }
      return STATUS[n] || "UNKNOWN_" + n;
    }

    function certInfo(c) {
      if (!c) {
        return null;
      }
      let emails = [];
      try {
        emails = c.getEmailAddresses();
      } catch (e) {}
      return {
        email: c.emailAddress,
        emails,
        subject: c.subjectName,
        issuer: c.issuerName,
        serial: c.serialNumber,
        sha256: c.sha256Fingerprint,
      };
    }

    function makeSink() {
      const sink = {
        QueryInterface: CU.generateQI(["nsIMsgSMIMESink"]),
        events: [],
        started: 0,
        got: 0,
        ignoreStatusFrom(part) {
          this.events.push({ ev: "ignoreStatusFrom", part });
        },
        resetSignedStatus() {
          this.events.push({ ev: "resetSignedStatus" });
        },
        signatureProcessingStarted(nesting) {
          this.started++;
        },
        signedStatus(nesting, status, cert, url, part, sigAlg, digAlg) {
          this.got++;
          this.events.push({
            ev: "signed", nesting, status, name: statusName(status),
            cert: certInfo(cert), part, sigAlg, digAlg,
          });
        },
        encryptionStatus(nesting, status, cert, url, part, alg, bits, keyAlg) {
          this.events.push({
            ev: "encrypted", nesting, status, name: statusName(status),
            cert: certInfo(cert), part, alg, bits, keyAlg,
          });
        },
      };
      return sink;
    }

    // The reduction that Thunderbird's own message window applies
    // (msgHdrViewSMIMEOverlay.js): nesting 1 only, an ignored part does not
    // count, a bad status is not overridden by a later one.
    function reduce(events) {
      let ignored = null, sig = null, enc = null;
      for (const e of events) {
        if (e.ev == "ignoreStatusFrom") {
          ignored = e.part;
        } else if (e.ev == "resetSignedStatus") {
          sig = null;
        } else if (e.nesting > 1 || (ignored && e.part == ignored)) {
          continue;
        } else if (e.ev == "signed") {
          if (!sig || sig.status == 0) {
            sig = e;
          }
        } else if (e.ev == "encrypted") {
          if (!enc || enc.status == 0) {
            enc = e;
          }
        }
      }
      return { sig, enc };
    }

    async function run() {
      const { MailServices } = CU.importESModule("resource:///modules/MailServices.sys.mjs");
      const { NetUtil } = CU.importESModule("resource://gre/modules/NetUtil.sys.mjs");
      Cc["@mozilla.org/psm;1"].getService(Ci.nsISupports); // NSS up
      let root;
      try {
        root = MailServices.accounts.localFoldersServer.rootFolder;
      } catch (e) {
        MailServices.accounts.createLocalMailAccount();
        root = MailServices.accounts.localFoldersServer.rootFolder;
      }
      root.QueryInterface(Ci.nsIMsgLocalMailFolder);
      const folder = root
        .createLocalSubfolder("oracle")
        .QueryInterface(Ci.nsIMsgLocalMailFolder);

      // Thunderbird keeps the certificates of good signatures: without this a
      // mail's verdict could hang on the mails before it.
      const db = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
      const known = new Set(db.getCerts().map(c => c.sha256Fingerprint));
      const forget = () => {
        for (const c of db.getCerts()) {
          if (!known.has(c.sha256Fingerprint)) {
            db.deleteCertificate(c);
          }
        }
        Components.utils.forceGC();
        Components.utils.forceCC();
        Components.utils.forceGC();
      };

      for (const path of job.files) {
        const t0 = Date.now();
        const out = { file: path };
        try {
          await one(path, out, folder, MailServices, NetUtil);
        } catch (e) {
          out.error = String(e);
        }
        try {
          forget();
        } catch (e) {
          out.warning = "certificates kept: " + e;
        }
        out.ms = Date.now() - t0;
        emit(out);
      }
      emit({ done: true, version: S.appinfo.version });
    }

    // The text of a rendered message without the print-out header tables.
    function plain(doc) {
      const root = doc?.documentElement?.cloneNode(true);
      if (!root) {
        return "";
      }
      for (const n of root.querySelectorAll("head,title,style,script,table[class^=moz-header-part]")) {
        n.remove();
      }
      return root.textContent.replace(/[\s\ufeff]+/g, " ").trim().slice(0, job.chars);
    }

    async function one(path, out, folder, MailServices, NetUtil) {
      const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
      file.initWithPath(path);
      let key = null;
      await within(
        new Promise((resolve, reject) => {
          MailServices.copy.copyFileMessage(
            file, folder, null, false, 0, "",
            {
              QueryInterface: CU.generateQI(["nsIMsgCopyServiceListener"]),
              onStartCopy() {},
              onProgress() {},
              setMessageKey(k) {
                key = k;
              },
              getMessageId() {
                return null;
              },
              onStopCopy(st) {
                if (Components.isSuccessCode(st)) {
                  resolve();
                } else {
                  reject(new Error("copyFileMessage 0x" + (st >>> 0).toString(16)));
                }
              },
            },
            null
          );
        }),
        20000,
        "copyFileMessage"
      );
      let hdr = null;
      try {
        hdr = key !== null ? folder.GetMessageHeader(key) : null;
      } catch (e) {}
      if (!hdr) {
        throw new Error("Thunderbird does not take this file for a message (empty, or no body)");
      }
      const uri = folder.getUriForMsg(hdr);

      // 1. What the MIME code tells the security sink. Until bug 1955042 (after
      // 153) OpenPGP's handler takes multipart/signed until a window has seen an
      // S/MIME mail and reloaded it; take it out, as that window does.
      try {
        CU.importESModule("chrome://openpgp/content/modules/mimeVerify.sys.mjs")
          .EnigmailVerify.unregisterPGPMimeHandler?.();
      } catch (e) {
        out.warning = "OpenPGP handler: " + e;
      }
      const sink = makeSink();
      const service = MailServices.messageServiceFromURI(uri);
      const channel = S.io.newChannelFromURI(
        service.getUrlForUri(uri), null,
        S.scriptSecurityManager.getSystemPrincipal(), null,
        Ci.nsILoadInfo.SEC_ALLOW_CROSS_ORIGIN_SEC_CONTEXT_IS_NULL,
        Ci.nsIContentPolicy.TYPE_OTHER
      ).QueryInterface(Ci.nsIMailChannel);
      channel.smimeSink = sink;
      const html = await within(
        new Promise((resolve, reject) => {
          const chunks = [];
          const listener = {
            QueryInterface: CU.generateQI(["nsIStreamListener", "nsIRequestObserver"]),
            onStartRequest() {},
            onDataAvailable(req, stream, off, count) {
              chunks.push(NetUtil.readInputStreamToString(stream, count));
            },
            onStopRequest(req, st) {
              out.streamStatus = "0x" + (st >>> 0).toString(16);
              resolve(chunks.join(""));
            },
          };
          const conv = Cc["@mozilla.org/streamConverters;1"]
            .getService(Ci.nsIStreamConverterService)
            .asyncConvertData("message/rfc822", "text/html", listener, channel);
          channel.asyncOpen(conv);
        }),
        20000,
        "streaming"
      );
      // Signature verification is asynchronous.
      for (let i = 0; i < 500 && sink.got < sink.started; i++) {
        await sleep(10);
      }
      await sleep(30); // a detached verification that announced itself late
      for (let i = 0; i < 500 && sink.got < sink.started; i++) {
        await sleep(10);
      }
      const { sig, enc } = reduce(sink.events);
      out.signed = !!sig;
      out.signedStatus = sig ? sig.status : null;
      out.signedName = sig ? sig.name : null;
      out.signer = sig?.cert?.email ?? null;
      out.signerCert = sig ? sig.cert : null;
      out.sigAlg = sig?.sigAlg ?? null;
      out.digAlg = sig?.digAlg ?? null;
      out.encrypted = !!enc;
      out.encryptionStatus = enc ? enc.status : null;
      out.encryptionName = enc ? enc.name : null;
      out.encAlg = enc?.alg ?? null;
      out.encBits = enc?.bits ?? null;
      out.keyEncAlg = enc?.keyAlg ?? null;
      out.events = sink.events;
      if (sink.got < sink.started) {
        out.sigTimeout = true;
      }
      let utf8 = html;
      try {
        utf8 = decodeURIComponent(escape(html)).replace(/^\ufeff/, "");
      } catch (e) {}
      if (job.html) {
        out.html = utf8;
      }
      const doc = new (S.wm.getMostRecentWindow("mail:3pane").DOMParser)()
        .parseFromString(utf8, "text/html");
      out.text = plain(doc);

      // 2. What the real message window shows.
      if (job.ui) {
        out.ui = await ui(hdr, folder, uri);
      }
    }

    async function ui(hdr, folder, uri) {
      const w = S.ww.openWindow(
        null, "chrome://messenger/content/messageWindow.xhtml", "_blank",
        "chrome,all,dialog=no,width=900,height=700", null
      );
      let state = { error: "message window did not load" };
      try {
        await within(
          new Promise(r => w.addEventListener("load", r, { once: true })),
          10000, "message window"
        );
        const browser = w.document.getElementById("messageBrowser");
        for (let i = 0; i < 500; i++) {
          if (browser.contentDocument?.readyState == "complete" &&
              browser.contentWindow?.displayMessage) {
            break;
          }
          await sleep(10);
        }
        const am = browser.contentWindow;
        let msgLoaded = false, processed = false;
        am.addEventListener("MsgLoaded", () => (msgLoaded = true));
        am.addEventListener("smimeprocessed", () => (processed = true));
        am.displayMessage(uri);
        // A mail that cannot be decrypted is replaced by an error page (a data:
        // URI, perhaps in another process), and MsgLoaded never comes.
        const pane = () => am.document.getElementById("messagepane");
        const page = () => pane()?.currentURI?.spec ?? "";
        const ERR = "data:text/html;base64,";
        for (let i = 0; i < 600 && !msgLoaded && !page().startsWith(ERR); i++) {
          await sleep(10);
        }
        const errorPage = page().startsWith(ERR);
        const body = () => errorPage
          ? new am.DOMParser().parseFromString(am.atob(page().slice(ERR.length)), "text/html")
          : pane()?.contentDocument;
        for (let i = 0; i < 100 && !processed && !errorPage; i++) {
          // Not an S/MIME mail: the event never comes; do not wait for it long.
          if (i >= 20 && am.document.getElementById("cryptoBox").hidden) {
            break;
          }
          await sleep(10);
        }
        const pick = id => {
          const el = am.document.getElementById(id);
          if (!el || el.hidden) {
            return null;
          }
          return (el.getAttribute("src") || "").replace(/^.*\/message-|\.svg$/g, "") || "shown";
        };
        const text = id =>
          am.document.getElementById(id)?.textContent?.replace(/\s+/g, " ").trim() ?? null;
        const addrs = id =>
          [...(am.document.getElementById(id)?.querySelectorAll("li") ?? [])]
            .map(n => n.fullAddress || n.textContent);
        const box = am.document.getElementById("cryptoBox");
        state = {
          loaded: msgLoaded, processed, errorPage,
          tech: box.hidden ? null : box.getAttribute("tech"),
          signedIcon: pick("signedHdrIcon"),
          encryptedIcon: pick("encryptedHdrIcon"),
          subject: text("expandedsubjectBox").replace(/^Subject: ?/, ""),
          from: addrs("expandedfromBox"),
          to: addrs("expandedtoBox"),
          date: text("dateLabel"),
          senderRowShown: !(am.document.getElementById("expandedsenderRow")?.hidden ?? true),
          notifications: [...am.document.querySelectorAll("notification-message")]
            .map(n => n.getAttribute("value")),
          body: plain(body()),
          attachments: (am.currentAttachments ?? []).map(a => a.name),
        };
        try {
          await am.showMessageReadSecurityInfo?.();
          await sleep(20);
          const pd = am.document.getElementById("messageSecurityPanel");
          state.panel = [...pd.querySelectorAll("[id]")]
            .filter(n => /^(signature|encryption)(Label|Explanation|Header)$/.test(n.id) && !n.hidden)
            .map(n => (n.value || n.textContent || "").replace(/\s+/g, " ").trim())
            .filter(Boolean);
          pd.hidePopup();
        } catch (e) {
          state.panelError = String(e);
        }
      } catch (e) {
        state.error = String(e);
      } finally {
        w.close();
      }
      return state;
    }

    let begun = false;
    const start = topic => {
      if (begun) {
        return;
      }
      begun = true;
      (async () => {
        try {
          await run();
        } catch (e) {
          emit({ fatal: String(e) + " " + (e.stack || "") });
        }
        S.startup.quit(Ci.nsIAppStartup.eForceQuit);
      })();
    };
    // mail-startup-done comes once the three-pane window is up.
    S.obs.addObserver({ observe: (s, topic) => start(topic) }, "mail-startup-done");
  })();
} catch (e) {
  dump("thunderbird judge cfg: " + e + "\n" + e.stack + "\n");
}
