import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.util.*;
import org.bouncycastle.jcajce.PKIXExtendedBuilderParameters;
import org.bouncycastle.jcajce.PKIXExtendedParameters;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/** Paths judged by Bouncy Castle, one case a line on standard input: "valid" or why not. */
public class Paths {
    public static void main(String[] none) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        System.out.println(new BouncyCastleProvider().getVersionStr() + "; Java " + Runtime.version());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String answer = "valid";
            try {
                run(line.split("\t"));
            } catch (Throwable error) {
                answer = "refused";
                for (Throwable one = error; one != null; one = one.getCause()) {
                    answer += " / " + one.getClass().getSimpleName() + ": " + one.getMessage();
                }
                answer = answer.replaceAll("\\s+", " ");
                answer = answer.substring(0, Math.min(answer.length(), 600));
            }
            System.out.println(answer);
        }
    }

    /** folder, moment in ms, revocation, explicit, inhibit mapping, inhibit any, policies. */
    static void run(String[] a) throws Exception {
        Path folder = Path.of(a[0]);
        CertificateFactory read = CertificateFactory.getInstance("X.509", "BC");
        X509Certificate leaf = (X509Certificate) certificates(read, folder.resolve("leaf.pem")).iterator().next();
        Set<TrustAnchor> anchors = new HashSet<>();
        for (java.security.cert.Certificate one : certificates(read, folder.resolve("anchors.pem"))) {
            anchors.add(new TrustAnchor((X509Certificate) one, null));
        }
        List<Object> known = new ArrayList<>(certificates(read, folder.resolve("others.pem")));
        known.add(leaf);
        // A certificate or CRL that the provider cannot read is not in its store.
        for (byte[] der : pieces(folder.resolve("crls.pem"))) {
            try {
                known.add(read.generateCRL(new ByteArrayInputStream(der)));
            } catch (CRLException unreadable) {
                continue;
            }
        }
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(leaf);
        PKIXBuilderParameters wanted = new PKIXBuilderParameters(anchors, target);
        wanted.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(known)));
        wanted.setDate(new Date(Long.parseLong(a[1])));
        wanted.setRevocationEnabled(a[2].equals("yes"));
        wanted.setExplicitPolicyRequired(a[3].equals("yes"));
        wanted.setPolicyMappingInhibited(a[4].equals("yes"));
        wanted.setAnyPolicyInhibited(a[5].equals("yes"));
        if (!a[6].isEmpty()) {
            wanted.setInitialPolicies(new HashSet<>(Arrays.asList(a[6].split(" "))));
        }
        PKIXExtendedParameters deltas =
            new PKIXExtendedParameters.Builder(wanted).setUseDeltasEnabled(true).build();
        CertPathBuilder.getInstance("PKIX", "BC").build(
            new PKIXExtendedBuilderParameters.Builder(deltas).setMaxPathLength(12).build());
    }

    static Collection<? extends java.security.cert.Certificate> certificates(CertificateFactory read, Path file)
            throws Exception {
        List<java.security.cert.Certificate> found = new ArrayList<>();
        for (byte[] der : pieces(file)) {
            found.add(read.generateCertificate(new ByteArrayInputStream(der)));
        }
        return found;
    }

    static List<byte[]> pieces(Path file) throws IOException {
        List<byte[]> found = new ArrayList<>();
        for (String piece : Files.readString(file).split("-----END [A-Z0-9 ]+-----")) {
            int at = piece.lastIndexOf("-----");
            if (at >= 0) {
                found.add(Base64.getMimeDecoder().decode(piece.substring(at + 5)));
            }
        }
        return found;
    }
}
