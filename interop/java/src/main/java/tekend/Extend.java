package tekend;

import eu.europa.esig.dss.enumerations.SignatureLevel;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.pades.PAdESSignatureParameters;
import eu.europa.esig.dss.pades.signature.PAdESService;
import eu.europa.esig.dss.service.crl.OnlineCRLSource;
import eu.europa.esig.dss.service.http.commons.OCSPDataLoader;
import eu.europa.esig.dss.service.http.commons.TimestampDataLoader;
import eu.europa.esig.dss.service.ocsp.OnlineOCSPSource;
import eu.europa.esig.dss.service.tsp.OnlineTSPSource;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * EU DSS brings the signatures of others up to PAdES-BASELINE-LTA, with what the addresses in their certificates answer.
 *
 * Usage: Extend ROOT.pem TSA-URL FILE ; a line each of IN.pdf TAB OUT.pdf.
 */
public final class Extend {
    private Extend() {
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 3) {
            System.err.println("usage: Extend ROOT.pem TSA-URL FILE");
            System.exit(2);
        }
        CommonTrustedCertificateSource trust = new CommonTrustedCertificateSource();
        trust.addCertificate(DSSUtils.loadCertificate(new File(args[0])));
        for (String line : Files.readAllLines(Path.of(args[2]))) {
            String[] f = line.split("\t");
            CommonCertificateVerifier v = new CommonCertificateVerifier();
            v.setTrustedCertSources(trust);
            v.setOcspSource(new OnlineOCSPSource(new OCSPDataLoader()));
            v.setCrlSource(new OnlineCRLSource());
            PAdESSignatureParameters p = new PAdESSignatureParameters();
            p.setSignatureLevel(SignatureLevel.PAdES_BASELINE_LTA);
            PAdESService service = new PAdESService(v);
            service.setTspSource(new OnlineTSPSource(args[1], new TimestampDataLoader()));
            service.extendDocument(new FileDocument(f[0]), p).save(f[1]);
        }
    }
}
