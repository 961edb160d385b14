/** The part of gRPC's service config that clients need for workflows (gRFC A6). */
export interface ServiceConfig {
  readonly methodConfig: readonly {
    readonly name: readonly { readonly service: string; readonly method: string }[];
    readonly retryPolicy: typeof retryPolicy;
  }[];
}

/**
 * As far as clients go by themselves: they take no more than 5 attempts, and these cover a restart of the server. A
 * failed run says with its answer whether trying again helps, so that its own retries are not repeated by the client.
 */
const retryPolicy = {
  maxAttempts: 5,
  initialBackoff: "1s",
  maxBackoff: "15s",
  backoffMultiplier: 2,
  retryableStatusCodes: ["UNAVAILABLE"],
} as const;

/** Lets clients call these workflows again when they lose the server. Only keyed ones bear that: they join their run. */
export function serviceConfig(workflows: Iterable<string>): ServiceConfig {
  const name = [...workflows].sort().map((workflow) => {
    const slash = workflow.indexOf("/");
    return { service: workflow.slice(0, slash), method: workflow.slice(slash + 1) };
  });
  return { methodConfig: name.length === 0 ? [] : [{ name, retryPolicy }] };
}
