package tekend;

import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.diagnostic.SignatureWrapper;
import eu.europa.esig.dss.diagnostic.TimestampWrapper;
import eu.europa.esig.dss.enumerations.Indication;
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
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.stream.Collectors;

/**
 * EU DSS under its unmodified default policy, with what a check by DSS must require besides: a time-stamp that PASSED and
 * gives the best signature time, the whole path's revocation data good, no modification of the document after the signature.
 *
 * Usage: Judge ROOT.pem PKIDIR FILE... ; prints a line a file: file, verdict (pass or fail), format, indication, reasons.
 */
public final class Judge {
    private Judge() {
    }

    public static void main(String[] args) {
        if (args.length < 3) {
            System.err.println("usage: Judge ROOT.pem PKIDIR FILE...");
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
                // The product's signature is the newest one: the one whose signed ranges reach furthest.
                String newest = simple.getSignatureIdList().stream()
                        .max(java.util.Comparator.comparing(id -> reach(data.getSignatureById(id)))).orElse(null);
                if (newest != null) {
                    format = String.valueOf(simple.getSignatureFormat(newest));
                    indication = simple.getIndication(newest) + (simple.getSubIndication(newest) == null ? "" : "/" + simple.getSubIndication(newest));
                    judge(newest, simple, data, reasons);
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

    private static BigInteger reach(SignatureWrapper s) {
        List<BigInteger> r = s.getSignatureByteRange();
        return r.size() == 4 ? r.get(2).add(r.get(3)) : BigInteger.ZERO;
    }

    private static void judge(String id, SimpleReport simple, DiagnosticData data, List<String> reasons) {
        SignatureWrapper s = data.getSignatureById(id);
        if (simple.getIndication(id) != Indication.TOTAL_PASSED) {
            reasons.add("not TOTAL_PASSED: " + simple.getAdESValidationErrors(id).stream().map(m -> m.getValue()).collect(Collectors.joining(", ")));
        }
        Date best = simple.getBestSignatureTime(id);
        boolean bestIsStamp = false;
        List<TimestampWrapper> stamps = s.getTimestampList();
        if (stamps.isEmpty()) {
            reasons.add("no time-stamp");
        }
        for (TimestampWrapper t : stamps) {
            if (simple.getIndication(t.getId()) != Indication.PASSED) {
                reasons.add("time-stamp is " + simple.getIndication(t.getId()));
            }
            bestIsStamp |= t.getProductionTime().equals(best);
        }
        if (!bestIsStamp) {
            reasons.add("best signature time is not a time-stamp's");
        }
        if (s.arePdfModificationsDetected()) {
            reasons.add("modifications after the signature");
        }
        if (!s.getPdfUndefinedChanges().isEmpty() || !s.getPdfAnnotationChanges().isEmpty() || s.arePdfObjectModificationsDetected()) {
            reasons.add("objects changed after the signature");
        }
        if (!s.getPdfAnnotationsOverlapConcernedPages().isEmpty() || !s.getPdfVisualDifferenceConcernedPages().isEmpty()) {
            reasons.add("annotations or visual differences");
        }
        if (!"PAdES-BASELINE-T".equals(String.valueOf(simple.getSignatureFormat(id)))) {
            reasons.add("not PAdES-BASELINE-T");
        }
        if (!s.isSignatureByteRangeValid()) {
            reasons.add("ByteRange not valid");
        }
    }
}
