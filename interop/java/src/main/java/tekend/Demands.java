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

    /** Adds a reason for each demand that signature id does not meet. */
    static void check(String id, SimpleReport simple, DiagnosticData data, List<String> reasons) {
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
