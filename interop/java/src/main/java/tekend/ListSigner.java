package tekend;

import eu.europa.esig.dss.token.KSPrivateKeyEntry;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.Date;

/**
 * The key of a trusted list scheme operator and its self-signed certificate: territory and operator's name of the list,
 * digitalSignature, the one purpose id-tsl-kp-tslSigning, a key identifier, no CA (TS 119 612 §5.7.1).
 */
final class ListSigner {
    private static final String TSL_SIGNING = "0.4.0.2231.3.0";

    private ListSigner() {
    }

    static KSPrivateKeyEntry make(ListContent content) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair pair = generator.generateKeyPair();
        X500Name name = new X500Name("C=" + ListContent.TERRITORY + ",O=" + ListContent.OPERATOR + ",CN=" + ListContent.OPERATOR + " list signer");
        Date from = Date.from(content.issued.minus(Duration.ofDays(1)));
        Date to = Date.from(content.issued.plus(Duration.ofDays(730)));
        JcaX509ExtensionUtils utils = new JcaX509ExtensionUtils();
        JcaX509v3CertificateBuilder b = new JcaX509v3CertificateBuilder(name, new BigInteger(127, new SecureRandom()), from, to, name, pair.getPublic());
        b.addExtension(Extension.subjectKeyIdentifier, false, utils.createSubjectKeyIdentifier(pair.getPublic()));
        b.addExtension(Extension.basicConstraints, true, new BasicConstraints(false));
        b.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature));
        b.addExtension(Extension.extendedKeyUsage, false, new ExtendedKeyUsage(KeyPurposeId.getInstance(new ASN1ObjectIdentifier(TSL_SIGNING))));
        X509Certificate certificate = new JcaX509CertificateConverter()
                .getCertificate(b.build(new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate())));
        return new KSPrivateKeyEntry("signer", new KeyStore.PrivateKeyEntry(pair.getPrivate(), new X509Certificate[] {certificate}));
    }
}
