package tekend;

import eu.europa.esig.dss.enumerations.DigestAlgorithm;
import eu.europa.esig.dss.enumerations.SignatureLevel;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.SignatureValue;
import eu.europa.esig.dss.model.x509.CertificateToken;
import eu.europa.esig.dss.pades.PAdESSignatureParameters;
import eu.europa.esig.dss.pades.signature.PAdESService;
import eu.europa.esig.dss.service.http.commons.TimestampDataLoader;
import eu.europa.esig.dss.service.tsp.OnlineTSPSource;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.token.KSPrivateKeyEntry;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/**
 * EU DSS as a signer and as a client of our time-stamping unit: PAdES-BASELINE-T with a software key, for signatures that our own
 * service refuses to make.
 *
 * Usage: Sign FILE ; a line each of KEY.pem TAB CERTIFICATE.pem TAB ISSUER.pem TAB TSA-URL TAB IN.pdf TAB OUT.pdf, the key EC in PKCS #8.
 */
public final class Sign {
    private Sign() {
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("usage: Sign FILE");
            System.exit(2);
        }
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] f = line.split("\t");
            sign(f[0], f[1], f[2], f[3], f[4], f[5]);
        }
    }

    private static void sign(String key, String certificate, String issuer, String tsa, String in, String out) throws Exception {
        X509Certificate[] chain = {DSSUtils.loadCertificate(new File(certificate)).getCertificate(), DSSUtils.loadCertificate(new File(issuer)).getCertificate()};
        KSPrivateKeyEntry entry = new KSPrivateKeyEntry("signer", new KeyStore.PrivateKeyEntry(load(key), (Certificate[]) chain));
        PAdESSignatureParameters p = new PAdESSignatureParameters();
        p.setSignatureLevel(SignatureLevel.PAdES_BASELINE_T);
        p.setDigestAlgorithm(DigestAlgorithm.SHA256);
        p.setSigningCertificate(entry.getCertificate());
        List<CertificateToken> path = new ArrayList<>();
        for (X509Certificate c : chain) {
            path.add(new CertificateToken(c));
        }
        p.setCertificateChain(path);
        PAdESService service = new PAdESService(new CommonCertificateVerifier());
        service.setTspSource(new OnlineTSPSource(tsa, new TimestampDataLoader()));
        DSSDocument document = new FileDocument(in);
        SignatureValue value = MemoryKey.sign(entry, service.getDataToSign(document, p), p.getDigestAlgorithm());
        service.signDocument(document, p, value).save(out);
    }

    private static PrivateKey load(String path) throws Exception {
        String pem = Files.readString(Path.of(path)).replaceAll("-----[A-Z ]+-----", "");
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(pem)));
    }
}
