/** grpc-js wraps what has happened to a connection, once by each of its layers. */
export function connectionCause(message: string): string {
  return message.replace(/^.*\bLast error: (Error: )?/s, "").replace(/\. Resolution note: *$/, "");
}
