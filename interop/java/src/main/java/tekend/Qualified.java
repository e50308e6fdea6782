package tekend;

import eu.europa.esig.dss.diagnostic.CertificateRevocationWrapper;
import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.enumerations.CertificateStatus;
import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.enumerations.SignatureQualification;
import eu.europa.esig.dss.enumerations.TimestampQualification;
import eu.europa.esig.dss.jaxb.object.Message;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.service.crl.OnlineCRLSource;
import eu.europa.esig.dss.service.http.commons.CommonsDataLoader;
import eu.europa.esig.dss.service.http.commons.FileCacheDataLoader;
import eu.europa.esig.dss.service.http.commons.OCSPDataLoader;
import eu.europa.esig.dss.service.ocsp.OnlineOCSPSource;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.simplereport.jaxb.XmlTimestamp;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.tsl.TrustedListsCertificateSource;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.spi.x509.aia.DefaultAIASource;
import eu.europa.esig.dss.tsl.job.TLValidationJob;
import eu.europa.esig.dss.tsl.source.TLSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import eu.europa.esig.dss.validation.reports.Reports;

import java.io.File;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * EU DSS as a stranger who has a trusted list and the certificate of its signer, and fetches whatever else he needs from the
 * addresses in certificates: issuers, OCSP, CRLs. Its default policy with one line changed ({@link DefaultPolicy}), and what must be
 * required besides ({@link Demands}).
 *
 * Usage: Qualified [--offline URL] [--level L] LIST SIGNER.pem FILE... ; LIST is an http or file URL, L is B, T, LT or LTA. Or
 * Qualified [--offline URL] --cases FILE, a line each of NAME TAB LIST TAB SIGNER.pem TAB FILE, and TAB and the level (B, T, LT,
 * LTA) when it is not T, and for CAdES TAB and the file that was signed, or "-" when it is in the signature. With --offline nothing
 * is fetched, and nothing can be: URL, which others reach, must be out of reach from here. Prints a line each: file or name, verdict
 * (pass or fail; pass is QESIG with a QTSA time-stamp), qualification, indication, qualification of the time-stamp, revocation data
 * of the signing certificate, warnings and errors about the qualification (their keys), reasons.
 */
public final class Qualified {
    /** Of a list that is expired or wrongly signed the default policy only warns. */
    private static final Set<String> LIST_IS_BAD = Set.of("QUAL_TL_EXP_ANS", "QUAL_TL_WS_ANS");

    /** content is null for a PDF, "-" for an attached CAdES signature, a path for a detached one. */
    private record Case(String name, String list, String signer, String file, String level, String content) {
    }

    private record Answer(String qualification, String indication, String stamp, String revocation, String messages, List<String> reasons) {
    }

    private final DSSDocument policy;
    private final Path cache;
    private final boolean online;
    private final Map<String, TrustedListsCertificateSource> lists = new HashMap<>();

    private Qualified(Path cache, boolean online) throws IOException {
        this.policy = DefaultPolicy.document();
        this.cache = cache;
        this.online = online;
    }

    public static void main(String[] args) throws IOException {
        boolean online = args.length < 2 || !args[0].equals("--offline");
        if (!online) {
            mustBeOutOfReach(args[1]);
            args = Arrays.copyOfRange(args, 2, args.length);
        }
        String level = "T";
        if (args.length > 1 && args[0].equals("--level")) {
            level = args[1];
            args = Arrays.copyOfRange(args, 2, args.length);
        }
        List<Case> cases = new ArrayList<>();
        if (args.length == 2 && args[0].equals("--cases")) {
            for (String line : Files.readAllLines(Path.of(args[1]))) {
                String[] f = line.split("\t");
                cases.add(new Case(f[0], f[1], f[2], f[3], f.length > 4 ? f[4] : "T", f.length > 5 ? f[5] : null));
            }
        } else if (args.length >= 3) {
            for (int i = 2; i < args.length; i++) {
                cases.add(new Case(args[i], args[0], args[1], args[i], level, null));
            }
        } else {
            System.err.println("usage: Qualified [--offline URL] [--level L] LIST SIGNER.pem FILE... | Qualified [--offline URL] --cases FILE");
            System.exit(2);
        }
        Path cache = Files.createTempDirectory("qualified");
        int failed = 0;
        try {
            Qualified judge = new Qualified(cache, online);
            for (Case c : cases) {
                Answer a = judge.ask(c);
                failed += a.reasons.isEmpty() ? 0 : 1;
                System.out.println(String.join("\t", c.name, a.reasons.isEmpty() ? "pass" : "fail", a.qualification, a.indication, a.stamp,
                        a.revocation, a.messages, String.join("; ", a.reasons)));
            }
        } finally {
            try (Stream<Path> all = Files.walk(cache)) {
                all.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    /** A judge who is said to be without network and is not would find what the file lacks. */
    private static void mustBeOutOfReach(String url) {
        URI u = URI.create(url);
        try (Socket s = new Socket()) {
            s.connect(new InetSocketAddress(u.getHost(), u.getPort() < 0 ? 80 : u.getPort()), 2000);
        } catch (IOException e) {
            return;
        }
        System.err.println("there is a network: " + url + " answers");
        System.exit(2);
    }

    /** Downloads a list, checks its signature and takes its services up; once for each list and signer. */
    private TrustedListsCertificateSource load(String url, String signer) {
        return lists.computeIfAbsent(url + "\t" + signer, k -> {
            CommonTrustedCertificateSource signers = new CommonTrustedCertificateSource();
            signers.addCertificate(DSSUtils.loadCertificate(new File(signer)));
            TLSource source = new TLSource();
            source.setUrl(url);
            source.setCertificateSource(signers);
            FileCacheDataLoader loader = new FileCacheDataLoader(new CommonsDataLoader());
            loader.setCacheExpirationTime(0);
            loader.setFileCacheDirectory(cache.resolve(String.valueOf(lists.size())).toFile());
            TrustedListsCertificateSource trust = new TrustedListsCertificateSource();
            TLValidationJob job = new TLValidationJob();
            job.setOnlineDataLoader(loader);
            job.setTrustedListSources(source);
            job.setTrustedListCertificateSource(trust);
            job.onlineRefresh();
            return trust;
        });
    }

    private Answer ask(Case c) {
        List<String> reasons = new ArrayList<>();
        try {
            CommonCertificateVerifier v = new CommonCertificateVerifier();
            v.setTrustedCertSources(load(c.list, c.signer));
            if (online) {
                v.setAIASource(new DefaultAIASource());
                v.setOcspSource(new OnlineOCSPSource(new OCSPDataLoader()));
                v.setCrlSource(new OnlineCRLSource());
            } else {
                v.setAIASource(null);
            }
            SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(new FileDocument(c.file));
            validator.setCertificateVerifier(v);
            if (c.content != null && !c.content.equals("-")) {
                validator.setDetachedContents(List.of(new FileDocument(c.content)));
            }
            Reports r = validator.validateDocument(policy);
            SimpleReport simple = r.getSimpleReport();
            String id = Demands.newest(simple, r.getDiagnosticData());
            if (id == null) {
                return new Answer("-", "-", "-", "-", "-", List.of("no signature found"));
            }
            if (c.content == null) {
                Demands.check(id, c.level, simple, r.getDiagnosticData(), reasons);
            } else {
                Demands.checkCades(id, c.level, simple, r.getDiagnosticData(), reasons);
            }
            return judge(id, simple, r.getDiagnosticData(), reasons);
        } catch (Exception e) {
            reasons.add("not readable by DSS: " + e);
            return new Answer("-", "-", "-", "-", "-", reasons);
        }
    }

    private static Answer judge(String id, SimpleReport simple, DiagnosticData data, List<String> reasons) {
        SignatureQualification qualification = simple.getSignatureQualification(id);
        if (qualification != SignatureQualification.QESIG) {
            reasons.add("not QESIG");
        }
        List<String> stamps = new ArrayList<>();
        for (XmlTimestamp t : simple.getSignatureTimestamps(id)) {
            TimestampQualification q = simple.getTimestampQualification(t.getId());
            stamps.add(String.valueOf(q));
            if (q != TimestampQualification.QTSA) {
                reasons.add("time-stamp is not QTSA");
            }
        }
        for (Message m : simple.getQualificationWarnings(id)) {
            if (LIST_IS_BAD.contains(m.getKey())) {
                reasons.add("the list: " + m.getValue());
            }
        }
        Indication indication = simple.getIndication(id);
        return new Answer(String.valueOf(qualification), indication + (simple.getSubIndication(id) == null ? "" : "/" + simple.getSubIndication(id)),
                String.join(",", stamps), revocation(id, data),
                keys(simple.getQualificationErrors(id)) + "|" + keys(simple.getQualificationWarnings(id)), reasons);
    }

    private static String keys(List<Message> messages) {
        return messages.stream().map(Message::getKey).sorted().distinct().collect(Collectors.joining(","));
    }

    /** What was known of the signing certificate's status, newest first: kind and status. */
    private static String revocation(String id, DiagnosticData data) {
        if (data.getSignatureById(id).getSigningCertificate() == null) {
            return "-";
        }
        List<CertificateRevocationWrapper> all = new ArrayList<>(data.getSignatureById(id).getSigningCertificate().getCertificateRevocationData());
        all.sort(Comparator.comparing(CertificateRevocationWrapper::getProductionDate).reversed());
        return all.isEmpty() ? "none" : all.stream().map(w -> w.getRevocationType() + " " + status(w)).distinct().collect(Collectors.joining(", "));
    }

    private static String status(CertificateRevocationWrapper w) {
        return w.getStatus() == CertificateStatus.REVOKED ? "revoked" : w.getStatus() == CertificateStatus.GOOD ? "good" : "unknown";
    }
}
