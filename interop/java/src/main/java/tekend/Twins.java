package tekend;

import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.enumerations.SubIndication;
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

/**
 * EU DSS's own verdict about PAdES and CAdES files, without network and without anything that we demand besides: the verdict that
 * package validate is never more lenient than. Its default policy with one line changed ({@link DefaultPolicy}).
 *
 * Usage: Twins FILE ; a line of FILE is NAME TAB ROOT.pem TAB SIGNED TAB CONTENT TAB CRL TAB OCSP, "-" for what there is not. Prints
 * a line each: name, number of signatures, and comma-separated indication/sub-indication and level of each, verdict of each time-stamp.
 * What cannot be read has 0 signatures and the exception in place of the indications.
 */
public final class Twins {
    private Twins() {
    }

    public static void main(String[] args) throws IOException {
        if (args.length != 1) {
            System.err.println("usage: Twins FILE");
            System.exit(2);
        }
        List<String> lines = Files.readAllLines(Path.of(args[0]));
        lines.parallelStream().map(Twins::ask).forEachOrdered(System.out::println);
    }

    private static String ask(String line) {
        String[] f = line.split("\t");
        try {
            return f[0] + "\t" + judge(f);
        } catch (Exception e) {
            return f[0] + "\t0\t" + e.getClass().getSimpleName() + "\t-\t-";
        }
    }

    private static String judge(String[] f) throws IOException {
        CommonTrustedCertificateSource trust = new CommonTrustedCertificateSource();
        trust.addCertificate(DSSUtils.loadCertificate(new File(f[1])));
        CommonCertificateVerifier v = new CommonCertificateVerifier();
        v.setTrustedCertSources(trust);
        v.setAIASource(null);
        if (!f[4].equals("-")) {
            v.setCrlSource(new ExternalResourcesCRLSource(Files.newInputStream(Path.of(f[4]))));
        }
        if (!f[5].equals("-")) {
            v.setOcspSource(new ExternalResourcesOCSPSource(Files.newInputStream(Path.of(f[5]))));
        }
        SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(new FileDocument(f[2]));
        validator.setCertificateVerifier(v);
        if (!f[3].equals("-")) {
            validator.setDetachedContents(List.of(new FileDocument(f[3])));
        }
        Reports r = validator.validateDocument(DefaultPolicy.document());
        SimpleReport simple = r.getSimpleReport();
        List<String> indications = new ArrayList<>();
        List<String> levels = new ArrayList<>();
        for (String id : simple.getSignatureIdList()) {
            indications.add(words(simple.getIndication(id), simple.getSubIndication(id)));
            levels.add(String.valueOf(simple.getSignatureFormat(id)));
        }
        List<String> stamps = new ArrayList<>();
        for (String id : simple.getTimestampIdList()) {
            stamps.add(words(simple.getIndication(id), simple.getSubIndication(id)));
        }
        return String.join("\t", String.valueOf(indications.size()), none(indications), none(levels), none(stamps));
    }

    private static String words(Indication i, SubIndication s) {
        return s == null ? String.valueOf(i) : i + "/" + s;
    }

    private static String none(List<String> list) {
        return list.isEmpty() ? "-" : String.join(",", list);
    }
}
