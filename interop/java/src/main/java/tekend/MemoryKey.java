package tekend;

import eu.europa.esig.dss.enumerations.DigestAlgorithm;
import eu.europa.esig.dss.model.SignatureValue;
import eu.europa.esig.dss.model.ToBeSigned;
import eu.europa.esig.dss.token.AbstractSignatureTokenConnection;
import eu.europa.esig.dss.token.DSSPrivateKeyEntry;
import eu.europa.esig.dss.token.KSPrivateKeyEntry;

import java.util.List;

/** DSS's way to a signature value, for a key that lives in memory and goes with the process. */
final class MemoryKey extends AbstractSignatureTokenConnection {
    private MemoryKey() {
    }

    static SignatureValue sign(KSPrivateKeyEntry key, ToBeSigned data, DigestAlgorithm digest) {
        return new MemoryKey().sign(data, digest, key);
    }

    @Override
    public void close() {
        // nothing is open
    }

    @Override
    public List<DSSPrivateKeyEntry> getKeys() {
        return List.of();
    }
}
