package tekend;

import eu.europa.esig.dss.model.x509.CertificateToken;
import eu.europa.esig.dss.spi.DSSASN1Utils;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.trustedlist.jaxb.tsl.AdditionalServiceInformationType;
import eu.europa.esig.trustedlist.jaxb.tsl.AddressType;
import eu.europa.esig.trustedlist.jaxb.tsl.DigitalIdentityListType;
import eu.europa.esig.trustedlist.jaxb.tsl.DigitalIdentityType;
import eu.europa.esig.trustedlist.jaxb.tsl.ElectronicAddressType;
import eu.europa.esig.trustedlist.jaxb.tsl.ExtensionType;
import eu.europa.esig.trustedlist.jaxb.tsl.ExtensionsListType;
import eu.europa.esig.trustedlist.jaxb.tsl.InternationalNamesType;
import eu.europa.esig.trustedlist.jaxb.tsl.MultiLangNormStringType;
import eu.europa.esig.trustedlist.jaxb.tsl.MultiLangStringType;
import eu.europa.esig.trustedlist.jaxb.tsl.NextUpdateType;
import eu.europa.esig.trustedlist.jaxb.tsl.NonEmptyMultiLangURIListType;
import eu.europa.esig.trustedlist.jaxb.tsl.NonEmptyMultiLangURIType;
import eu.europa.esig.trustedlist.jaxb.tsl.ObjectFactory;
import eu.europa.esig.trustedlist.jaxb.tsl.PolicyOrLegalnoticeType;
import eu.europa.esig.trustedlist.jaxb.tsl.PostalAddressListType;
import eu.europa.esig.trustedlist.jaxb.tsl.PostalAddressType;
import eu.europa.esig.trustedlist.jaxb.tsl.ServiceHistoryInstanceType;
import eu.europa.esig.trustedlist.jaxb.tsl.ServiceHistoryType;
import eu.europa.esig.trustedlist.jaxb.tsl.TSLSchemeInformationType;
import eu.europa.esig.trustedlist.jaxb.tsl.TSPInformationType;
import eu.europa.esig.trustedlist.jaxb.tsl.TSPServiceInformationType;
import eu.europa.esig.trustedlist.jaxb.tsl.TSPServiceType;
import eu.europa.esig.trustedlist.jaxb.tsl.TSPServicesListType;
import eu.europa.esig.trustedlist.jaxb.tsl.TSPType;
import eu.europa.esig.trustedlist.jaxb.tsl.TrustServiceProviderListType;
import eu.europa.esig.trustedlist.jaxb.tsl.TrustStatusListType;

import javax.security.auth.x500.X500Principal;
import javax.xml.datatype.DatatypeConfigurationException;
import javax.xml.datatype.DatatypeFactory;
import javax.xml.datatype.XMLGregorianCalendar;
import java.io.File;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.TreeMap;

/** What a trusted list says, and its form after TS 119 612 §5. One provider, the organisation of the first service's certificate. */
final class ListContent {
    static final String TERRITORY = "XX"; // no member state's: nobody can take it for a real list
    static final String OPERATOR = "Tekend SANDBOX supervisory body";
    private static final String ETSI = "http://uri.etsi.org/TrstSvc/";
    private static final String INFORMATION = "https://pki.tekend-sandbox.test/trusted-list";
    private static final ObjectFactory FACTORY = new ObjectFactory();

    /** A status of a service and when it began. */
    record Status(String name, Instant since) {
    }

    /** A service: its type below Svctype, the certificate that identifies it, an additionalServiceInformation or null, newest status first. */
    record Service(String type, CertificateToken certificate, String information, List<Status> statuses) {
    }

    int version = 6;
    Instant issued = Instant.now().truncatedTo(ChronoUnit.SECONDS);
    Instant nextUpdate = issued.plus(Duration.ofDays(180)); // at most six months (§5.3.15)
    final List<Service> services = new ArrayList<>();

    static ListContent of(Properties p) {
        ListContent c = new ListContent();
        c.version = Integer.parseInt(p.getProperty("version", "6"));
        if (p.containsKey("issued")) {
            c.issued = Instant.parse(p.getProperty("issued"));
        }
        c.nextUpdate = p.containsKey("next_update") ? Instant.parse(p.getProperty("next_update")) : c.issued.plus(Duration.ofDays(180));
        TreeMap<String, String> services = new TreeMap<>();
        p.stringPropertyNames().stream().filter(k -> k.startsWith("service.")).forEach(k -> services.put(k, p.getProperty(k)));
        for (String line : services.values()) {
            String[] f = line.trim().split("\\s+");
            List<Status> statuses = new ArrayList<>();
            for (int i = 3; i < f.length; i++) {
                String[] s = f[i].split("@", 2);
                statuses.add(new Status(s[0], Instant.parse(s[1])));
            }
            c.services.add(new Service(f[0], DSSUtils.loadCertificate(new File(f[1])), f[2].equals("-") ? null : f[2], statuses));
        }
        return c;
    }

    TrustStatusListType list() {
        TSPServicesListType listed = new TSPServicesListType();
        services.forEach(s -> listed.getTSPService().add(service(s)));
        TSPType provider = new TSPType();
        provider.setTSPInformation(provider(services.get(0).certificate()));
        provider.setTSPServices(listed);
        TrustServiceProviderListType providers = new TrustServiceProviderListType();
        providers.getTrustServiceProvider().add(provider);
        TrustStatusListType list = new TrustStatusListType();
        list.setTSLTag("http://uri.etsi.org/19612/TSLTag");
        list.setId("list");
        list.setSchemeInformation(scheme());
        list.setTrustServiceProviderList(providers);
        return list;
    }

    private TSLSchemeInformationType scheme() {
        TSLSchemeInformationType s = new TSLSchemeInformationType();
        s.setTSLVersionIdentifier(BigInteger.valueOf(version));
        s.setTSLSequenceNumber(BigInteger.ONE);
        s.setTSLType(ETSI + "TrustedList/TSLType/EUgeneric");
        s.setSchemeOperatorName(names(OPERATOR));
        s.setSchemeOperatorAddress(address());
        s.setSchemeName(names(TERRITORY + ": trusted list of a sandbox, not qualified"));
        s.setSchemeInformationURI(uris(INFORMATION));
        s.setStatusDeterminationApproach(ETSI + "TrustedList/StatusDetn/EUappropriate");
        s.setSchemeTypeCommunityRules(uris(ETSI + "TrustedList/schemerules/EUcommon", ETSI + "TrustedList/schemerules/" + TERRITORY));
        s.setSchemeTerritory(TERRITORY);
        MultiLangStringType notice = new MultiLangStringType();
        notice.setLang("en");
        notice.setValue("This list belongs to a sandbox. Nothing in it is qualified under Regulation (EU) No 910/2014.");
        PolicyOrLegalnoticeType policy = new PolicyOrLegalnoticeType();
        policy.getTSLLegalNotice().add(notice);
        s.setPolicyOrLegalNotice(policy);
        s.setHistoricalInformationPeriod(BigInteger.valueOf(65535)); // for ever
        s.setListIssueDateTime(time(issued));
        NextUpdateType next = new NextUpdateType();
        next.setDateTime(time(nextUpdate));
        s.setNextUpdate(next);
        return s;
    }

    private static TSPInformationType provider(CertificateToken c) {
        String organisation = DSSASN1Utils.extractAttributeFromX500Principal(org.bouncycastle.asn1.x500.style.BCStyle.O, c.getSubject());
        String identifier = DSSASN1Utils.extractAttributeFromX500Principal(org.bouncycastle.asn1.x500.style.BCStyle.ORGANIZATION_IDENTIFIER, c.getSubject());
        TSPInformationType t = new TSPInformationType();
        t.setTSPName(names(organisation));
        t.setTSPTradeName(identifier == null ? names(organisation) : names(identifier, organisation));
        t.setTSPAddress(address());
        t.setTSPInformationURI(uris(INFORMATION));
        return t;
    }

    private static TSPServiceType service(Service s) {
        Status now = s.statuses().get(0);
        TSPServiceInformationType i = new TSPServiceInformationType();
        i.setServiceTypeIdentifier(ETSI + "Svctype/" + s.type());
        i.setServiceName(names(name(s)));
        i.setServiceDigitalIdentity(identity(s.certificate(), true));
        i.setServiceStatus(ETSI + "TrustedList/Svcstatus/" + now.name());
        i.setStatusStartingTime(time(now.since()));
        i.setServiceInformationExtensions(extensions(s));
        TSPServiceType t = new TSPServiceType();
        t.setServiceInformation(i);
        if (s.statuses().size() > 1) {
            t.setServiceHistory(new ServiceHistoryType());
        }
        for (Status old : s.statuses().subList(1, s.statuses().size())) {
            ServiceHistoryInstanceType h = new ServiceHistoryInstanceType();
            h.setServiceTypeIdentifier(ETSI + "Svctype/" + s.type());
            h.setServiceName(names(name(s)));
            h.setServiceDigitalIdentity(identity(s.certificate(), false));
            h.setServiceStatus(ETSI + "TrustedList/Svcstatus/" + old.name());
            h.setStatusStartingTime(time(old.since()));
            h.setServiceInformationExtensions(extensions(s));
            t.getServiceHistory().getServiceHistoryInstance().add(h);
        }
        return t;
    }

    private static String name(Service s) {
        return DSSASN1Utils.extractAttributeFromX500Principal(org.bouncycastle.asn1.x500.style.BCStyle.CN, s.certificate().getSubject()) + ", " + s.type();
    }

    /** Certificate, name and key identifier; a history entry has no certificate (§5.6.3). */
    private static DigitalIdentityListType identity(CertificateToken c, boolean current) {
        DigitalIdentityListType all = new DigitalIdentityListType();
        if (current) {
            DigitalIdentityType certificate = new DigitalIdentityType();
            certificate.setX509Certificate(c.getEncoded());
            all.getDigitalId().add(certificate);
        }
        DigitalIdentityType subject = new DigitalIdentityType();
        subject.setX509SubjectName(c.getSubject().getPrincipal().getName(X500Principal.RFC2253));
        all.getDigitalId().add(subject);
        DigitalIdentityType key = new DigitalIdentityType();
        key.setX509SKI(DSSASN1Utils.computeSkiFromCert(c));
        all.getDigitalId().add(key);
        return all;
    }

    private static ExtensionsListType extensions(Service s) {
        if (s.information() == null) {
            return null;
        }
        AdditionalServiceInformationType a = new AdditionalServiceInformationType();
        a.setURI(uri(ETSI + "TrustedList/SvcInfoExt/" + s.information()));
        ExtensionType e = new ExtensionType();
        e.setCritical(true);
        e.getContent().add(FACTORY.createAdditionalServiceInformation(a));
        ExtensionsListType all = new ExtensionsListType();
        all.getExtension().add(e);
        return all;
    }

    private static AddressType address() {
        PostalAddressType p = new PostalAddressType();
        p.setLang("en");
        p.setStreetAddress("Sandbox 1");
        p.setLocality("Nowhere");
        p.setCountryName(TERRITORY);
        PostalAddressListType all = new PostalAddressListType();
        all.getPostalAddress().add(p);
        ElectronicAddressType e = new ElectronicAddressType();
        e.getURI().add(uri("mailto:sandbox@tekend-sandbox.test"));
        e.getURI().add(uri(INFORMATION));
        AddressType a = new AddressType();
        a.setPostalAddresses(all);
        a.setElectronicAddress(e);
        return a;
    }

    private static InternationalNamesType names(String... values) {
        InternationalNamesType all = new InternationalNamesType();
        for (String v : values) {
            MultiLangNormStringType n = new MultiLangNormStringType();
            n.setLang("en");
            n.setValue(v);
            all.getName().add(n);
        }
        return all;
    }

    private static NonEmptyMultiLangURIListType uris(String... values) {
        NonEmptyMultiLangURIListType all = new NonEmptyMultiLangURIListType();
        for (String v : values) {
            all.getURI().add(uri(v));
        }
        return all;
    }

    private static NonEmptyMultiLangURIType uri(String value) {
        NonEmptyMultiLangURIType u = new NonEmptyMultiLangURIType();
        u.setLang("en");
        u.setValue(value);
        return u;
    }

    /** UTC, whole seconds (§5.1.2). */
    private static XMLGregorianCalendar time(Instant at) {
        try {
            return DatatypeFactory.newInstance().newXMLGregorianCalendar(at.truncatedTo(ChronoUnit.SECONDS).toString());
        } catch (DatatypeConfigurationException e) {
            throw new IllegalStateException(e);
        }
    }
}
