import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Authenticator } from "../../../src/security/index.ts";
import { type PrincipalName, principalNames } from "../plan/actor-plan.ts";

/** What a principal shows. */
export function credentialsOf(name: PrincipalName): Record<string, string> {
  return { "x-api-key": name };
}

/** Knows the principals of a plan. Whoever shows nothing calls from within the server's process, and may do all. */
export const authenticator: Authenticator = {
  authenticate({ apiKey }) {
    const subject = principalNames.find((name) => name === apiKey);
    return (
      subject && { tenant: "default", subject, level: AccessLevel.AUTHENTICATED, groups: [], authentication: "api_key" }
    );
  },
};
