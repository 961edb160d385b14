import type { DescMessage } from "@bufbuild/protobuf";

/** Reserved by protobuf for itself. */
const internal = { first: 19_000, last: 19_999 };

/** The first number behind all that a message uses or reserves. */
export function freeNumber({ fields, proto }: DescMessage, among: Iterable<number> = []): number {
  const used = [...fields.map(({ number }) => number), ...proto.reservedRange.map(({ end }) => end - 1), ...among];
  const next = Math.max(0, ...used) + 1;
  return next >= internal.first && next <= internal.last ? internal.last + 1 : next;
}
