package tekend;

import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.x509.CertificateToken;
import eu.europa.esig.dss.pades.validation.PDFDocumentValidator;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonCertificateSource;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.spi.x509.revocation.crl.ExternalResourcesCRLSource;
import eu.europa.esig.dss.validation.reports.Reports;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * EU DSS under its unmodified default policy, with what a check by DSS must require besides ({@link Demands}). It trusts a root
 * and reads certificates and CRLs from a folder; {@link Qualified} is the stranger with a trusted list.
 *
 * Usage: Judge [--level B|T|LT|LTA] ROOT.pem PKIDIR FILE... ; the level is T when it is not given. Prints a line a file: file, verdict (pass or fail), format, indication, reasons.
 */
public final class Judge {
    private Judge() {
    }

    public static void main(String[] args) {
        String level = "T";
        if (args.length > 1 && args[0].equals("--level")) {
            level = args[1];
            args = Arrays.copyOfRange(args, 2, args.length);
        }
        if (args.length < 3) {
            System.err.println("usage: Judge [--level B|T|LT|LTA] ROOT.pem PKIDIR FILE...");
            System.exit(2);
        }
        CommonTrustedCertificateSource trust = new CommonTrustedCertificateSource();
        trust.addCertificate(DSSUtils.loadCertificate(new File(args[0])));
        CommonCertificateSource adjunct = new CommonCertificateSource();
        List<String> crls = new ArrayList<>();
        List<File> files = new ArrayList<>();
        for (String dir : new String[] {args[1], args[1] + "/crl"}) {
            File[] found = new File(dir).listFiles();
            files.addAll(found == null ? List.of() : Arrays.asList(found));
        }
        for (File f : files) {
            if (f.getName().endsWith(".crl")) {
                crls.add(f.getPath());
            } else if (f.getName().endsWith(".pem")) {
                CertificateToken c = DSSUtils.loadCertificate(f);
                adjunct.addCertificate(c);
            }
        }
        int failed = 0;
        for (String path : Arrays.copyOfRange(args, 2, args.length)) {
            List<String> reasons = new ArrayList<>();
            String format = "-";
            String indication = "-";
            try {
                CommonCertificateVerifier v = new CommonCertificateVerifier();
                v.setTrustedCertSources(trust);
                v.setAdjunctCertSources(adjunct);
                v.setCrlSource(new ExternalResourcesCRLSource(crls.stream().map(Judge::stream).toArray(java.io.InputStream[]::new)));
                PDFDocumentValidator val = new PDFDocumentValidator(new FileDocument(path));
                val.setCertificateVerifier(v);
                Reports r = val.validateDocument();
                SimpleReport simple = r.getSimpleReport();
                DiagnosticData data = r.getDiagnosticData();
                if (simple.getSignatureIdList().isEmpty()) {
                    reasons.add("no signature found");
                }
                String newest = Demands.newest(simple, data);
                if (newest != null) {
                    format = String.valueOf(simple.getSignatureFormat(newest));
                    indication = simple.getIndication(newest) + (simple.getSubIndication(newest) == null ? "" : "/" + simple.getSubIndication(newest));
                    Demands.check(newest, level, simple, data, reasons);
                }
            } catch (Exception e) {
                reasons.add("not readable by DSS: " + e.getClass().getSimpleName());
            }
            if (!reasons.isEmpty()) {
                failed++;
            }
            System.out.println(String.join("\t", path, reasons.isEmpty() ? "pass" : "fail", format, indication, String.join("; ", reasons)));
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    private static java.io.InputStream stream(String path) {
        try {
            return new java.io.FileInputStream(path);
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
