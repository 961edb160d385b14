import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";

type Detail = ConnectError["details"][number];

/** By the detail itself, so that it is one of an error's details like any other to everybody who looks for it. */
const encoded = new WeakMap<Detail, Uint8Array>();

/**
 * A detail that many errors have, encoded once: to encode it for each took a fifth of what a server allocates that refuses
 * calls. Nobody may change it. @throws Error when it cannot be encoded
 */
export function shareDetail<Desc extends DescMessage>(desc: Desc, value: MessageInitShape<Desc>): Detail {
  const detail: Detail = { desc, value };
  encoded.set(detail, toBinary(desc, create(desc, value)));
  return detail;
}

/** The message of an error's detail. @throws Error when it cannot be encoded */
export function encodeDetail(detail: Detail): Uint8Array {
  if (!("desc" in detail)) {
    return detail.value;
  }
  return encoded.get(detail) ?? toBinary(detail.desc, create(detail.desc, detail.value));
}
