package tekend;

import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.InMemoryDocument;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

/**
 * DSS's default validation policy, as it lies in its jar, with one line changed: the signing certificate's revocation data must
 * not be older than 24 hours at the best signature time (CIR (EU) 2025/1945, annex), which DSS ignores by default.
 *
 * Usage: DefaultPolicy ; prints the policy.
 */
public final class DefaultPolicy {
    private static final String IGNORED = "<RevocationFreshness Level=\"IGNORE\" Unit=\"DAYS\" Value=\"0\" />";
    private static final String DEMANDED = "<RevocationFreshness Level=\"FAIL\" Unit=\"HOURS\" Value=\"24\" />";

    private DefaultPolicy() {
    }

    public static void main(String[] args) throws IOException {
        System.out.print(text());
    }

    static DSSDocument document() throws IOException {
        return new InMemoryDocument(text().getBytes(StandardCharsets.UTF_8), "constraint.xml");
    }

    /** The line changed is the first of its kind inside the signing certificate's part of the signature's basic constraints. */
    private static String text() throws IOException {
        String policy;
        try (InputStream in = DefaultPolicy.class.getResourceAsStream("/policy/constraint.xml")) {
            policy = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
        int at = 0;
        for (String before : new String[] {"<SignatureConstraints>", "<BasicSignatureConstraints>", "<SigningCertificate>", IGNORED}) {
            at = policy.indexOf(before, at);
            if (at < 0) {
                throw new IOException("this DSS's default policy has no " + before + " where 6.4 has it");
            }
        }
        return policy.substring(0, at) + DEMANDED + policy.substring(at + IGNORED.length());
    }
}
