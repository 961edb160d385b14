import type { HandlerContext } from "@connectrpc/connect";
import { whenAborted } from "../transport/index.ts";

/** Calls that last, and end with the server. `AbortSignal.any` would take a kilobyte for each of them. */
export class OpenCalls {
  readonly #open = new Set<AbortController>();
  readonly #closing: AbortSignal;

  constructor(closing: AbortSignal) {
    this.#closing = closing;
    closing.addEventListener("abort", () => this.#close(), { once: true });
  }

  /**
   * Its signal is aborted when the call has ended, or the server stops. Must be ended, when nobody heeds the signal any
   * more. Once for a call, of which `whenAborted` is then taken.
   */
  begin(context: HandlerContext): AbortController {
    const call = new AbortController();
    this.#open.add(call);
    whenAborted(context, (reason) => call.abort(reason));
    if (this.#closing.aborted) call.abort(this.#closing.reason);
    return call;
  }

  end(call: AbortController): void {
    this.#open.delete(call);
  }

  #close(): void {
    for (const call of this.#open) call.abort(this.#closing.reason);
  }
}
