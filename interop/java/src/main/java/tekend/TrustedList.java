package tekend;

import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.InMemoryDocument;
import eu.europa.esig.dss.model.SignatureValue;
import eu.europa.esig.dss.model.x509.CertificateToken;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.token.KSPrivateKeyEntry;
import eu.europa.esig.dss.xades.XAdESSignatureParameters;
import eu.europa.esig.dss.xades.signature.XAdESService;
import eu.europa.esig.dss.xades.tsl.TrustedListV6SignatureParametersBuilder;
import eu.europa.esig.dss.xml.utils.DomUtils;
import eu.europa.esig.trustedlist.TrustedListFacade;
import eu.europa.esig.trustedlist.TrustedListUtils;

import javax.xml.transform.dom.DOMSource;
import java.io.File;
import java.io.IOException;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;

/**
 * Makes and signs trusted lists (ETSI TS 119 612 V2.4.1, "version 6") with DSS's own classes.
 *
 * Usage: TrustedList sandbox DIR... ; the list of each sandbox: DIR/pki/trusted-list.xml and trusted-list-signer.pem beside it.
 * Usage: TrustedList FILE.properties... ; lists of tests, one each: out, signer (files that are written), version, organisation,
 * issued, next_update (times, ISO 8601), signed_by=stranger (a key that is not the published signer's), and service.N:
 * TYPE CERTIFICATE.pem INFO STATUS@TIME..., newest status first, INFO "-" for none.
 *
 * The signer's key is made for one list and never leaves the process: there is no file to keep secret, and a new list has a new signer.
 */
public final class TrustedList {
    private TrustedList() {
    }

    public static void main(String[] args) throws Exception {
        if (args.length >= 2 && args[0].equals("sandbox")) {
            for (String dir : Arrays.copyOfRange(args, 1, args.length)) {
                Path pki = Path.of(dir, "pki");
                ListContent content = sandbox(pki);
                Path out = pki.resolve("trusted-list.xml");
                make(content, out, pki.resolve("trusted-list-signer.pem"), true);
                System.out.println(out);
            }
            return;
        }
        if (args.length == 0 || args[0].equals("sandbox")) {
            System.err.println("usage: TrustedList sandbox DIR... | TrustedList FILE.properties...");
            System.exit(2);
        }
        for (String file : args) {
            Properties p = new Properties();
            try (Reader r = Files.newBufferedReader(Path.of(file))) {
                p.load(r);
            }
            ListContent content = ListContent.of(p);
            make(content, Path.of(p.getProperty("out")), Path.of(p.getProperty("signer")), !"stranger".equals(p.getProperty("signed_by")));
        }
    }

    /**
     * What a supervisory body would list of a sandbox: each issuing CA as CA/QC for signatures and as manager of remote devices, each
     * time-stamping unit as TSA/QTST. All are granted from a day before the oldest of them: a status that begins after a
     * certificate's notBefore does not count for it (TS 119 615). No service carries a qualifier: QcSSCD must be in the certificates.
     */
    private static ListContent sandbox(Path pki) throws IOException {
        List<CertificateToken> cas = new ArrayList<>();
        List<CertificateToken> units = new ArrayList<>();
        File[] files = pki.toFile().listFiles((dir, name) -> name.endsWith(".pem"));
        if (files == null) {
            throw new IOException("no sandbox: " + pki + " cannot be read");
        }
        Arrays.sort(files);
        for (File f : files) {
            CertificateToken c = DSSUtils.loadCertificate(f);
            if (c.isCA() && !c.isSelfSigned()) {
                cas.add(c);
            } else if (stamps(c)) {
                units.add(c);
            }
        }
        if (cas.isEmpty() || units.isEmpty()) {
            throw new IOException(pki + " holds " + cas.size() + " issuing CAs and " + units.size() + " time-stamping units; at least one of each is needed");
        }
        Instant first = Instant.MAX;
        List<CertificateToken> all = new ArrayList<>(cas);
        all.addAll(units);
        for (CertificateToken c : all) {
            first = first.isBefore(c.getNotBefore().toInstant()) ? first : c.getNotBefore().toInstant();
        }
        List<ListContent.Status> granted = List.of(new ListContent.Status("granted", first.minus(Duration.ofDays(1))));
        ListContent content = new ListContent();
        for (CertificateToken c : cas) {
            content.services.add(new ListContent.Service("CA/QC", c, "ForeSignatures", granted));
            content.services.add(new ListContent.Service("RemoteQSigCDManagement/Q", c, null, granted));
        }
        for (CertificateToken c : units) {
            content.services.add(new ListContent.Service("TSA/QTST", c, null, granted));
        }
        return content;
    }

    private static boolean stamps(CertificateToken c) {
        try {
            List<String> usages = c.getCertificate().getExtendedKeyUsage();
            return usages != null && usages.contains("1.3.6.1.5.5.7.3.8");
        } catch (java.security.cert.CertificateParsingException e) {
            return false;
        }
    }

    /** Writes a signed list and its signer's certificate. published says whether the key that signs is the published signer's. */
    private static void make(ListContent content, Path out, Path signer, boolean published) throws Exception {
        KSPrivateKeyEntry key = ListSigner.make(content);
        String xml = TrustedListFacade.newFacade().marshall(content.list(), true);
        DSSDocument unsigned = new InMemoryDocument(xml.getBytes(StandardCharsets.UTF_8), "trusted-list.xml");
        TrustedListV6SignatureParametersBuilder builder = new TrustedListV6SignatureParametersBuilder(key.getCertificate(), unsigned);
        if (content.version == 6) {
            builder.assertConfigurationIsValid();
        } // a test wants to see what becomes of the others
        XAdESSignatureParameters parameters = builder.build();
        XAdESService service = new XAdESService(new CommonCertificateVerifier());
        SignatureValue value = MemoryKey.sign(key, service.getDataToSign(unsigned, parameters), parameters.getDigestAlgorithm());
        DSSDocument signed = service.signDocument(unsigned, parameters, value);
        List<String> errors = TrustedListUtils.getInstance().validateAgainstXSD(new DOMSource(DomUtils.buildDOM(signed)));
        if (!errors.isEmpty()) {
            throw new IOException(out + " is not of the schema: " + errors);
        }
        CertificateToken shown = published ? key.getCertificate() : ListSigner.make(content).getCertificate();
        write(signer, DSSUtils.convertToPEM(shown).getBytes(StandardCharsets.US_ASCII));
        write(out, DSSUtils.toByteArray(signed));
    }

    /** A reader sees the old file or the new one. */
    private static void write(Path path, byte[] content) throws IOException {
        Path tmp = path.resolveSibling(path.getFileName() + ".new");
        Files.write(tmp, content);
        Files.move(tmp, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }
}
