import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { JwtConfigSchema } from "../../gen/retake/v1/identity_config_pb.js";

export interface Token {
  readonly text: string;
  /** What takes it. */
  readonly jwt: MessageInitShape<typeof JwtConfigSchema>;
}

const issuer = "https://issuer.example";
const audience = "retake";
const kid = "bench";

/** A token of an issuer whose key is in a file of the directory. */
export async function makeToken(directory: string): Promise<Token> {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwksFile = join(directory, "keys.json");
  await writeFile(jwksFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid }] }));
  const text = await new SignJWT({ sub: "bench" })
    .setProtectedHeader({ alg: "ES256", kid })
    .setIssuer(issuer)
    .setAudience(audience)
    .setExpirationTime("1 day")
    .sign(privateKey);
  return {
    text,
    jwt: { issuer, audiences: [audience], algorithms: ["ES256"], keys: { case: "jwksFile", value: jwksFile } },
  };
}
