import type { DescMethod, Message } from "@bufbuild/protobuf";
import { type Code, ConnectError } from "@connectrpc/connect";

/** Names a method as its gRPC path does: `pkg.Service/Method`. */
export function methodName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Takes the message out of a stream that must hold exactly one. `what` names it in errors. */
export async function onlyMessage(
  messages: AsyncIterable<Message>,
  what: string,
  codeOtherwise: Code,
): Promise<Message> {
  let only: Message | undefined;
  for await (const message of messages) {
    if (only !== undefined) {
      throw new ConnectError(`the ${what} has more than one message`, codeOtherwise);
    }
    only = message;
  }
  if (only === undefined) {
    throw new ConnectError(`the ${what} has no message`, codeOtherwise);
  }
  return only;
}
