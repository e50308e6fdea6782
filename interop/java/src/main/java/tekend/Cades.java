package tekend;

import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.diagnostic.SignatureWrapper;
import eu.europa.esig.dss.diagnostic.TimestampWrapper;
import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.spi.x509.revocation.crl.ExternalResourcesCRLSource;
import eu.europa.esig.dss.spi.x509.revocation.ocsp.ExternalResourcesOCSPSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import eu.europa.esig.dss.validation.reports.Reports;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * EU DSS about CAdES files, without network. Its default policy with one line changed ({@link DefaultPolicy}); besides, every
 * time-stamp must be PASSED and every archive time-stamp's imprint and hash index intact, of which the default policy only warns.
 *
 * Usage: Cades FILE ; a line of FILE is NAME TAB ROOT.pem TAB CMS TAB CONTENT TAB CRL TAB OCSP, "-" for what there is not: the
 * content of an attached signature, data beside the file. Prints a line each: name, verdict (pass or fail), format, indication,
 * number of time-stamps, reasons.
 */
public final class Cades {
    private record Case(String name, String root, String cms, String content, String crl, String ocsp) {
    }

    private Cades() {
    }

    public static void main(String[] args) throws IOException {
        if (args.length != 1) {
            System.err.println("usage: Cades FILE");
            System.exit(2);
        }
        int failed = 0;
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] f = line.split("\t");
            Case c = new Case(f[0], f[1], f[2], f[3], f[4], f[5]);
            List<String> reasons = new ArrayList<>();
            String answer;
            try {
                answer = ask(c, reasons);
            } catch (Exception e) {
                reasons.add("not readable by DSS: " + e);
                answer = "-\t-\t-";
            }
            failed += reasons.isEmpty() ? 0 : 1;
            System.out.println(String.join("\t", c.name, reasons.isEmpty() ? "pass" : "fail", answer, String.join("; ", reasons)));
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    private static String ask(Case c, List<String> reasons) throws IOException {
        CommonTrustedCertificateSource trust = new CommonTrustedCertificateSource();
        trust.addCertificate(DSSUtils.loadCertificate(new File(c.root)));
        CommonCertificateVerifier v = new CommonCertificateVerifier();
        v.setTrustedCertSources(trust);
        v.setAIASource(null);
        if (!c.crl.equals("-")) {
            v.setCrlSource(new ExternalResourcesCRLSource(Files.newInputStream(Path.of(c.crl))));
        }
        if (!c.ocsp.equals("-")) {
            v.setOcspSource(new ExternalResourcesOCSPSource(Files.newInputStream(Path.of(c.ocsp))));
        }
        SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(new FileDocument(c.cms));
        validator.setCertificateVerifier(v);
        if (!c.content.equals("-")) {
            List<DSSDocument> content = List.of(new FileDocument(c.content));
            validator.setDetachedContents(content);
        }
        Reports r = validator.validateDocument(DefaultPolicy.document());
        SimpleReport simple = r.getSimpleReport();
        DiagnosticData data = r.getDiagnosticData();
        if (simple.getSignatureIdList().size() != 1) {
            reasons.add(simple.getSignatureIdList().size() + " signatures");
            return "-\t-\t-";
        }
        String id = simple.getSignatureIdList().get(0);
        SignatureWrapper s = data.getSignatureById(id);
        if (simple.getIndication(id) != Indication.TOTAL_PASSED) {
            reasons.add("not TOTAL_PASSED: " + simple.getAdESValidationErrors(id).stream().map(m -> m.getValue()).collect(Collectors.joining(", ")));
        }
        for (TimestampWrapper t : s.getTimestampList()) {
            if (simple.getIndication(t.getId()) != Indication.PASSED) {
                reasons.add(t.getType() + " is " + simple.getIndication(t.getId()));
            }
        }
        Demands.checkImprints(s, reasons);
        String indication = simple.getIndication(id) + (simple.getSubIndication(id) == null ? "" : "/" + simple.getSubIndication(id));
        return String.join("\t", String.valueOf(simple.getSignatureFormat(id)), indication, String.valueOf(s.getTimestampList().size()));
    }
}
