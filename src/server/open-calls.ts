import type { HandlerContext } from "@connectrpc/connect";
import { draining } from "../runs/index.ts";
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
   * Its signal is aborted when the call has ended, or the server stops, with the error to answer. Must be ended, when
   * nobody heeds the signal any more. Once for a call, of which `whenAborted` is then taken.
   */
  begin(context: HandlerContext): AbortController {
    const call = new AbortController();
    this.#open.add(call);
    whenAborted(context, (reason) => call.abort(reason));
    if (this.#closing.aborted) call.abort(draining());
    return call;
  }

  end(call: AbortController): void {
    this.#open.delete(call);
  }

  #close(): void {
    // Each has an error of its own: what is thrown gets metadata of its call.
    for (const call of this.#open) call.abort(draining());
  }
}
