import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import javax.crypto.spec.*;
import org.bouncycastle.asn1.*;
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

/** CMS by Bouncy Castle, one command a line on standard input, one answer a line: "ok" or why not. */
@SuppressWarnings("unchecked")  // Store is a raw type in the answers of CMSSignedData
public class BouncyCastle {
    public static void main(String[] none) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        System.out.println(new BouncyCastleProvider().getVersionStr());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String answer = "ok";
            try {
                run(line.split("\t"));
            } catch (Throwable error) {
                // CMSException wraps what says why.
                Throwable cause = error;
                while (cause.getCause() != null) {
                    cause = cause.getCause();
                }
                answer = String.valueOf(cause.getMessage()).replaceAll("\\s+", " ");
            }
            System.out.println(answer);
        }
    }

    static void run(String[] a) throws Exception {
        byte[] in = read(a[1]);
        byte[] out = switch (a[0]) {
            case "sign" -> sign(in, cert(a[3]), cert(a[4]), key(a[5]), a[6], a[7].equals("opaque"));
            case "verify" -> verify(in, a[3].isEmpty() ? null : read(a[3]));
            case "encrypt" -> encrypt(in, cert(a[3]), a[4], a[5]);
            case "decrypt" -> decrypt(in, key(a[3]));
            default -> throw new IllegalArgumentException(a[0]);
        };
        Files.write(Path.of(a[2]), out);
    }

    static byte[] read(String path) throws IOException {
        return Files.readAllBytes(Path.of(path));
    }

    static X509Certificate cert(String path) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", "BC")
            .generateCertificate(new ByteArrayInputStream(read(path)));
    }

    static PrivateKey key(String path) throws Exception {
        Object read = new PEMParser(new FileReader(path)).readObject();
        return new JcaPEMKeyConverter().setProvider("BC").getPrivateKey((PrivateKeyInfo) read);
    }

    static byte[] sign(
        byte[] content, X509Certificate own, X509Certificate ca, PrivateKey key, String how, boolean opaque
    ) throws Exception {
        CMSSignedDataGenerator made = new CMSSignedDataGenerator();
        ContentSigner signer = new JcaContentSignerBuilder(how).setProvider("BC").build(key);
        made.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(
            new JcaDigestCalculatorProviderBuilder().setProvider("BC").build()).build(signer, own));
        made.addCertificates(new JcaCertStore(List.of(own, ca)));
        return made.generate(new CMSProcessableByteArray(content), opaque).getEncoded();
    }

    static byte[] verify(byte[] data, byte[] content) throws Exception {
        CMSSignedData signed = content == null
            ? new CMSSignedData(data)
            : new CMSSignedData(new CMSProcessableByteArray(content), data);
        if (signed.getSignerInfos().size() == 0) {
            throw new CMSException("no signer");
        }
        for (SignerInformation one : signed.getSignerInfos()) {
            Collection<X509CertificateHolder> found = signed.getCertificates().getMatches(one.getSID());
            if (!one.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC")
                    .build(found.iterator().next()))) {
                throw new CMSException("wrong signature");
            }
        }
        return content != null ? content : (byte[]) signed.getSignedContent().getContent();
    }

    static RecipientInfoGenerator recipient(X509Certificate to, String management) throws Exception {
        switch (management) {
            case "rsa-pkcs1":
                return new JceKeyTransRecipientInfoGenerator(to).setProvider("BC");
            case "rsa-oaep":
                OAEPParameterSpec oaep = new OAEPParameterSpec(
                    "SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT);
                return new JceKeyTransRecipientInfoGenerator(
                    to, new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(
                        PKCSObjectIdentifiers.id_RSAES_OAEP, oaep)).setProvider("BC");
            default:
                PublicKey key = to.getPublicKey();
                KeyPairGenerator fresh = KeyPairGenerator.getInstance(key.getAlgorithm(), "BC");
                if (key instanceof java.security.interfaces.ECPublicKey ec) {
                    fresh.initialize(ec.getParams());
                }
                KeyPair pair = fresh.generateKeyPair();
                return new JceKeyAgreeRecipientInfoGenerator(
                    CMSAlgorithm.ECDH_SHA256KDF, pair.getPrivate(), pair.getPublic(),
                    CMSAlgorithm.AES256_WRAP).addRecipient(to).setProvider("BC");
        }
    }

    static byte[] encrypt(byte[] content, X509Certificate to, String cipher, String management)
            throws Exception {
        ASN1ObjectIdentifier oid = switch (cipher) {
            case "aes-128-cbc" -> CMSAlgorithm.AES128_CBC;
            case "aes-256-cbc" -> CMSAlgorithm.AES256_CBC;
            case "aes-128-gcm" -> CMSAlgorithm.AES128_GCM;
            case "aes-256-gcm" -> CMSAlgorithm.AES256_GCM;
            default -> CMSAlgorithm.DES_EDE3_CBC;
        };
        OutputEncryptor how = new JceCMSContentEncryptorBuilder(oid).setProvider("BC").build();
        CMSTypedData typed = new CMSProcessableByteArray(content);
        if (how instanceof OutputAEADEncryptor aead) {
            CMSAuthEnvelopedDataGenerator made = new CMSAuthEnvelopedDataGenerator();
            made.addRecipientInfoGenerator(recipient(to, management));
            return made.generate(typed, aead).getEncoded();
        }
        CMSEnvelopedDataGenerator made = new CMSEnvelopedDataGenerator();
        made.addRecipientInfoGenerator(recipient(to, management));
        return made.generate(typed, how).getEncoded();
    }

    static byte[] decrypt(byte[] data, PrivateKey key) throws Exception {
        ContentInfo info = ContentInfo.getInstance(data);
        boolean aead = info.getContentType().equals(CMSObjectIdentifiers.authEnvelopedData);
        RecipientInformationStore all = aead
            ? new CMSAuthEnvelopedData(data).getRecipientInfos()
            : new CMSEnvelopedData(data).getRecipientInfos();
        RecipientInformation one = all.getRecipients().iterator().next();
        Recipient how;
        if (one instanceof KeyTransRecipientInformation) {
            how = aead ? new JceKeyTransAuthEnvelopedRecipient(key).setProvider("BC")
                : new JceKeyTransEnvelopedRecipient(key).setProvider("BC");
        } else if (aead) {
            throw new CMSException("(not asked: it has no class that opens AuthEnvelopedData by key agreement)");
        } else {
            how = new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
        }
        return one.getContent(how);
    }
}
