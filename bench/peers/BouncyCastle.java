import java.io.*;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import java.util.function.BiConsumer;
import javax.crypto.spec.*;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.pkcs.*;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.*;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.*;
import org.bouncycastle.openssl.jcajce.*;
import org.bouncycastle.operator.*;
import org.bouncycastle.operator.jcajce.*;

/** The same work as openssl_cms.c by Bouncy Castle, in one process that stays warm.
 *
 *   java BouncyCastle.java bc|jdk
 *
 * bc: by its own algorithms, all in Java. jdk: its CMS by the algorithms of the JDK, which has
 * instructions of the processor for AES and SHA-256, where the JDK has them.
 *
 * A line on standard input, words parted by tabs:
 *   seal TIMES MAIL SIGNER.pem SIGNER.key gcm|cbc RECIPIENT.pem...
 *   open TIMES SEALED READER.key ROOT.pem
 * and a line as the answer when it is done: "done", or what failed. Whoever asks reads the clock of
 * this process. TIMES 0 is for warming up: ten seconds of it.
 */
@SuppressWarnings("unchecked")  // Store is a raw type in the answers of CMSSignedData
public class BouncyCastle {
    static final com.sun.management.OperatingSystemMXBean SYSTEM =
        (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    static final long WARM_UP = 10_000_000_000L;  // nanoseconds of processor time
    static boolean jdk;

    interface Work { byte[] run() throws Exception; }

    public static void main(String[] words) throws Exception {
        jdk = words[0].equals("jdk");
        Security.addProvider(new BouncyCastleProvider());
        System.out.println(new BouncyCastleProvider().getVersionStr());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            try {
                String[] a = line.split("\t");
                Work work = a[0].equals("seal") ? sealing(a) : opening(a);
                int times = Integer.parseInt(a[1]);
                if (times == 0) {
                    warm(work);
                }
                for (int n = 0; n < times; n++) {
                    work.run();
                }
                System.out.println("done");
            } catch (Throwable error) {
                System.out.println(String.valueOf(error).replaceAll("\\s+", " "));
            }
        }
    }

    /** The compiler is fast at first and comes back for what has proved to be hot after thousands of
     * mails; what it takes then is a tenth and less of all. */
    static void warm(Work work) throws Exception {
        long end = SYSTEM.getProcessCpuTime() + WARM_UP;
        while (SYSTEM.getProcessCpuTime() < end) {
            work.run();
        }
    }

    /** The builder with the provider named that was asked for; the JDK's come first where none is. */
    static <T> T by(T builder, BiConsumer<T, String> naming) {
        if (!jdk) {
            naming.accept(builder, "BC");
        }
        return builder;
    }

    static Work sealing(String[] a) throws Exception {
        byte[] mail = Files.readAllBytes(Path.of(a[2]));
        X509Certificate own = certificate(a[3]);
        PrivateKey key = key(a[4]);
        List<X509Certificate> readers = new ArrayList<>();
        for (String one : Arrays.copyOfRange(a, 6, a.length)) {
            readers.add(certificate(one));
        }
        return () -> encrypted(signed(mail, own, key), readers, a[5].equals("gcm"));
    }

    static byte[] signed(byte[] mail, X509Certificate own, PrivateKey key) throws Exception {
        CMSSignedDataGenerator made = new CMSSignedDataGenerator();
        String how = key instanceof java.security.interfaces.ECPrivateKey ? "SHA256withECDSA" : "SHA256withRSA";
        made.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(
            by(new JcaDigestCalculatorProviderBuilder(), JcaDigestCalculatorProviderBuilder::setProvider).build())
            .build(by(new JcaContentSignerBuilder(how), JcaContentSignerBuilder::setProvider).build(key), own));
        made.addCertificates(new JcaCertStore(List.of(own)));
        byte[] signature = made.generate(new CMSProcessableByteArray(mail), false).getEncoded("DER");
        ByteArrayOutputStream out = new ByteArrayOutputStream(mail.length + 8192);
        out.write(("Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; "
            + "micalg=sha-256; boundary=\"b1\"\r\n\r\n--b1\r\n").getBytes(StandardCharsets.US_ASCII));
        out.write(mail);
        out.write(("\r\n--b1\r\nContent-Type: application/pkcs7-signature\r\n"
            + "Content-Transfer-Encoding: base64\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
        out.write(Base64.getMimeEncoder().encode(signature));
        out.write("\r\n--b1--\r\n".getBytes(StandardCharsets.US_ASCII));
        return out.toByteArray();
    }

    static byte[] encrypted(byte[] entity, List<X509Certificate> readers, boolean gcm) throws Exception {
        OutputEncryptor cipher = by(new JceCMSContentEncryptorBuilder(
            gcm ? CMSAlgorithm.AES256_GCM : CMSAlgorithm.AES256_CBC), JceCMSContentEncryptorBuilder::setProvider).build();
        CMSTypedData content = new CMSProcessableByteArray(entity);
        if (cipher instanceof OutputAEADEncryptor aead) {
            CMSAuthEnvelopedDataGenerator made = new CMSAuthEnvelopedDataGenerator();
            for (X509Certificate one : readers) {
                made.addRecipientInfoGenerator(recipient(one));
            }
            return Base64.getMimeEncoder().encode(made.generate(content, aead).getEncoded());
        }
        CMSEnvelopedDataGenerator made = new CMSEnvelopedDataGenerator();
        for (X509Certificate one : readers) {
            made.addRecipientInfoGenerator(recipient(one));
        }
        return Base64.getMimeEncoder().encode(made.generate(content, cipher).getEncoded());
    }

    static RecipientInfoGenerator recipient(X509Certificate to) throws Exception {
        if (to.getPublicKey() instanceof java.security.interfaces.ECPublicKey ec) {
            KeyPairGenerator fresh = KeyPairGenerator.getInstance("EC", "BC");
            fresh.initialize(ec.getParams());
            KeyPair pair = fresh.generateKeyPair();
            return new JceKeyAgreeRecipientInfoGenerator(CMSAlgorithm.ECDH_SHA256KDF, pair.getPrivate(),
                pair.getPublic(), CMSAlgorithm.AES256_WRAP).addRecipient(to).setProvider("BC");
        }
        OAEPParameterSpec oaep = new OAEPParameterSpec(
            "SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT);
        return by(new JceKeyTransRecipientInfoGenerator(to, new JcaAlgorithmParametersConverter()
            .getAlgorithmIdentifier(PKCSObjectIdentifiers.id_RSAES_OAEP, oaep)),
            JceKeyTransRecipientInfoGenerator::setProvider);
    }

    static Work opening(String[] a) throws Exception {
        byte[] sealed = Files.readAllBytes(Path.of(a[2]));
        PrivateKey key = key(a[3]);
        TrustAnchor root = new TrustAnchor(certificate(a[4]), null);
        return () -> verified(decrypted(sealed, key), root);
    }

    static byte[] decrypted(byte[] mail, PrivateKey key) throws Exception {
        byte[] data = Base64.getMimeDecoder().decode(
            Arrays.copyOfRange(mail, find(mail, "\r\n\r\n", 0) + 4, mail.length));
        boolean aead = ContentInfo.getInstance(data).getContentType().equals(CMSObjectIdentifiers.authEnvelopedData);
        RecipientInformation one = (aead ? new CMSAuthEnvelopedData(data).getRecipientInfos()
            : new CMSEnvelopedData(data).getRecipientInfos()).getRecipients().iterator().next();
        Recipient how;
        if (one instanceof KeyTransRecipientInformation) {
            how = by(aead ? new JceKeyTransAuthEnvelopedRecipient(key) : new JceKeyTransEnvelopedRecipient(key),
                JceKeyTransRecipient::setProvider);
        } else if (aead) {
            throw new CMSException("no class opens AuthEnvelopedData by key agreement");
        } else {
            how = new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
        }
        return one.getContent(how);
    }

    static byte[] verified(byte[] entity, TrustAnchor root) throws Exception {
        int name = find(entity, "boundary=\"", 0) + 10;
        String delimiter = "\r\n--" + new String(entity, name, find(entity, "\"", name) - name, StandardCharsets.US_ASCII);
        int first = find(entity, delimiter, 0);
        int second = find(entity, delimiter, first + 1);
        byte[] content = Arrays.copyOfRange(entity, find(entity, "\r\n", first + 2) + 2, second);
        int body = find(entity, "\r\n\r\n", second + 2) + 4;
        byte[] signature = Base64.getMimeDecoder().decode(
            Arrays.copyOfRange(entity, body, find(entity, delimiter, body)));
        CMSSignedData signed = new CMSSignedData(new CMSProcessableByteArray(content), signature);
        List<X509Certificate> certificates = new ArrayList<>();
        JcaX509CertificateConverter converter = new JcaX509CertificateConverter().setProvider("BC");
        SignerInformation signer = signed.getSignerInfos().iterator().next();
        for (Object one : signed.getCertificates().getMatches(null)) {
            certificates.add(converter.getCertificate((X509CertificateHolder) one));
        }
        X509CertificateHolder own = (X509CertificateHolder)
            signed.getCertificates().getMatches(signer.getSID()).iterator().next();
        if (!signer.verify(by(new JcaSimpleSignerInfoVerifierBuilder(), JcaSimpleSignerInfoVerifierBuilder::setProvider).build(own))) {
            throw new CMSException("wrong signature");
        }
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(converter.getCertificate(own));
        PKIXBuilderParameters asked = new PKIXBuilderParameters(Set.of(root), target);
        asked.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(certificates)));
        asked.setRevocationEnabled(false);
        CertPathBuilder.getInstance("PKIX", "BC").build(asked);
        return content;
    }

    static int find(byte[] in, String wanted, int from) {
        byte[] octets = wanted.getBytes(StandardCharsets.US_ASCII);
        for (int at = from; at <= in.length - octets.length; at++) {
            if (in[at] == octets[0] && Arrays.equals(in, at, at + octets.length, octets, 0, octets.length)) {
                return at;
            }
        }
        throw new IllegalArgumentException("not found: " + wanted);
    }

    static X509Certificate certificate(String path) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", "BC")
            .generateCertificate(new ByteArrayInputStream(Files.readAllBytes(Path.of(path))));
    }

    static PrivateKey key(String path) throws Exception {
        Object read = new PEMParser(new FileReader(path)).readObject();
        return new JcaPEMKeyConverter().setProvider("BC").getPrivateKey(
            read instanceof PEMKeyPair pair ? pair.getPrivateKeyInfo() : (PrivateKeyInfo) read);
    }
}
