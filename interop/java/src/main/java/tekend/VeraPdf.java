package tekend;

import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.PDFAParser;
import org.verapdf.pdfa.PDFAValidator;
import org.verapdf.pdfa.results.TestAssertion;
import org.verapdf.pdfa.results.ValidationResult;

import java.io.FileInputStream;
import java.util.stream.Collectors;

/**
 * veraPDF: whether files are PDF/A, of the part that they name; those that name none are measured with part 1b.
 *
 * Usage: VeraPdf FILE... ; prints a line each: file, verdict (pass or fail), flavour, the clauses that are broken.
 */
public final class VeraPdf {
    private VeraPdf() {
    }

    public static void main(String[] args) {
        if (args.length == 0) {
            System.err.println("usage: VeraPdf FILE...");
            System.exit(2);
        }
        VeraGreenfieldFoundryProvider.initialise();
        for (String path : args) {
            System.out.println(path + "\t" + ask(path));
        }
    }

    private static String ask(String path) {
        try (FileInputStream in = new FileInputStream(path); PDFAParser parser = Foundries.defaultInstance().createParser(in)) {
            PDFAValidator validator = Foundries.defaultInstance().createValidator(parser.getFlavour(), false);
            ValidationResult r = validator.validate(parser);
            return (r.isCompliant() ? "pass" : "fail") + "\t" + parser.getFlavour().getId() + "\t" + r.getTestAssertions().stream()
                    .filter(a -> a.getStatus() == TestAssertion.Status.FAILED).map(a -> a.getRuleId().getClause()).distinct()
                    .collect(Collectors.joining(", "));
        } catch (Exception e) {
            return "fail\t-\tnot readable by veraPDF: " + e;
        }
    }
}
