package tekend;

import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.diagnostic.SignatureWrapper;
import eu.europa.esig.dss.diagnostic.TimestampWrapper;
import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.simplereport.SimpleReport;

import java.math.BigInteger;
import java.util.Comparator;
import java.util.Date;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What a check by DSS must require besides its own verdict: under the default policy it says TOTAL_PASSED to a document
 * whose page was replaced by an increment (specs/eidas.md §7.6, "Measured").
 */
final class Demands {
    private Demands() {
    }

    /** The product's signature is the newest one: the one whose signed ranges reach furthest; null when there is none. */
    static String newest(SimpleReport simple, DiagnosticData data) {
        return simple.getSignatureIdList().stream().max(Comparator.comparing(id -> reach(data.getSignatureById(id)))).orElse(null);
    }

    private static BigInteger reach(SignatureWrapper s) {
        List<BigInteger> r = s.getSignatureByteRange();
        return r.size() == 4 ? r.get(2).add(r.get(3)) : BigInteger.ZERO;
    }

    /**
     * Adds a reason for each demand that signature id of a PDF does not meet. level is B, T, LT or LTA, and nothing above or below
     * it will do: a time-stamp that was broken makes B of T.
     */
    static void check(String id, String level, SimpleReport simple, DiagnosticData data, List<String> reasons) {
        SignatureWrapper s = data.getSignatureById(id);
        checkSignature(id, "PAdES-BASELINE-" + level, simple, reasons);
        checkStamps(id, level, simple, s, reasons);
        if (s.arePdfModificationsDetected()) {
            reasons.add("modifications after the signature");
        }
        if (!s.getPdfUndefinedChanges().isEmpty() || !s.getPdfAnnotationChanges().isEmpty() || !s.getPdfSignatureOrFormFillChanges().isEmpty()) {
            reasons.add("objects changed after the signature");
        }
        // What LT and LTA add is an extension; below them nothing comes after the signature.
        if (s.arePdfObjectModificationsDetected() && !level.startsWith("LT")) {
            reasons.add("objects added after the signature");
        }
        if (!s.getPdfAnnotationsOverlapConcernedPages().isEmpty() || !s.getPdfVisualDifferenceConcernedPages().isEmpty()) {
            reasons.add("annotations or visual differences");
        }
        if (!s.isSignatureByteRangeValid()) {
            reasons.add("ByteRange not valid");
        }
    }

    /** The same of a CAdES file. */
    static void checkCades(String id, String level, SimpleReport simple, DiagnosticData data, List<String> reasons) {
        SignatureWrapper s = data.getSignatureById(id);
        checkSignature(id, "CAdES-BASELINE-" + level, simple, reasons);
        checkStamps(id, level, simple, s, reasons);
        checkImprints(s, reasons);
    }

    /** Every time-stamp's imprint and hash index is intact, of which the default policy only warns. */
    static void checkImprints(SignatureWrapper s, List<String> reasons) {
        for (TimestampWrapper t : s.getTimestampList()) {
            if (!t.isMessageImprintDataFound() || !t.isMessageImprintDataIntact()) {
                reasons.add(t.getType() + " is over something else");
            }
            if (t.getType().isArchivalTimestamp() && (!t.isAtsHashIndexValid() || t.getAtsHashIndexVersion() == null)) {
                reasons.add(t.getType() + " has hash index " + t.getAtsHashIndexVersion() + ", valid: " + t.isAtsHashIndexValid());
            }
        }
    }

    private static void checkSignature(String id, String wanted, SimpleReport simple, List<String> reasons) {
        String format = String.valueOf(simple.getSignatureFormat(id));
        if (!format.equals(wanted)) {
            reasons.add("not " + wanted + " but " + format);
        }
        if (simple.getIndication(id) != Indication.TOTAL_PASSED) {
            reasons.add("not TOTAL_PASSED: " + simple.getAdESValidationErrors(id).stream().map(m -> m.getValue()).collect(Collectors.joining(", ")));
        }
    }

    /** Every time-stamp passes, there are as many as the level needs, and the best signature time is one of theirs. */
    private static void checkStamps(String id, String level, SimpleReport simple, SignatureWrapper s, List<String> reasons) {
        Date best = simple.getBestSignatureTime(id);
        boolean bestIsStamp = false;
        List<TimestampWrapper> stamps = s.getTimestampList();
        int needed = level.equals("B") ? 0 : level.equals("LTA") ? 2 : 1;
        if (stamps.size() < needed) {
            reasons.add(stamps.isEmpty() ? "no time-stamp" : "too few time-stamps");
        }
        for (TimestampWrapper t : stamps) {
            if (simple.getIndication(t.getId()) != Indication.PASSED) {
                reasons.add("time-stamp is " + simple.getIndication(t.getId()));
            }
            bestIsStamp |= t.getProductionTime().equals(best);
        }
        if (needed > 0 && !bestIsStamp) {
            reasons.add("best signature time is not a time-stamp's");
        }
    }
}
