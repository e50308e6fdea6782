// A certified OpenID provider (npm oidc-provider), set up like itsme as far as
// it can be: nested request objects only, private_key_jwt, PKCE, nested ID
// tokens. Arguments: port, the client's registration as JSON. It prints one
// line when it listens. Its own keys are made here and die with it.
import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const [port, registration] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const jwk = (use, kid, alg) => ({
  ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }), use, kid, alg,
});

const provider = new Provider(issuer, {
  clients: [{
    ...JSON.parse(registration),
    response_types: ["code"], grant_types: ["authorization_code"],
    token_endpoint_auth_method: "private_key_jwt", token_endpoint_auth_signing_alg: "RS256",
    request_object_signing_alg: "RS256", request_object_encryption_alg: "RSA-OAEP-256", request_object_encryption_enc: "A128CBC-HS256",
    require_signed_request_object: true,
    id_token_signed_response_alg: "RS256", id_token_encrypted_response_alg: "RSA-OAEP-256", id_token_encrypted_response_enc: "A128CBC-HS256",
  }],
  jwks: { keys: [jwk("sig", "s1", "RS256"), jwk("enc", "e1", "RSA-OAEP-256")] },
  scopes: ["openid", "service:CONF"],
  claims: { openid: ["sub"], name: null, family_name: null },
  acrValues: ["http://itsme.services/v2/claim/acr_advanced"],
  pkce: { required: () => true },
  cookies: { keys: ["only for a test"] },
  conformIdTokenClaims: false,
  features: {
    claimsParameter: { enabled: true },
    encryption: { enabled: true },
    requestObjects: { enabled: true },
    devInteractions: { enabled: true },
  },
  enabledJWA: {
    requestObjectEncryptionAlgValues: ["RSA-OAEP-256"], idTokenEncryptionAlgValues: ["RSA-OAEP-256"],
  },
  ttl: { IdToken: 300, AuthorizationCode: 180 },
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, name: "Jan Jansen", family_name: "Jansen" }) }),
});
provider.on("server_error", (_, err) => console.error(err));
provider.on("authorization.error", (_, err) => console.error(err));
provider.on("grant.error", (_, err) => console.error(err));
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
