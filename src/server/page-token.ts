import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { createError } from "../runs/index.ts";

/** What a page token holds: a cursor, and a digest of the request that it belongs to (AIP-158). */
interface PageToken {
  readonly after: string | number;
  readonly of: string;
}

/** What a token belongs to: a request without its page. */
export function pageScope<Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc>): string {
  return Buffer.from(toBinary(schema, request)).toString("base64");
}

/** A token for the page behind a cursor. */
export function createPageToken(after: string | number, request: string): string {
  const token: PageToken = { after, of: digest(request) };
  return Buffer.from(JSON.stringify(token)).toString("base64url");
}

/** The cursor of a token. @throws ConnectError INVALID_ARGUMENT when it is none of ours, or of another request */
export function parsePageToken(text: string, request: string): string | number {
  let token: Partial<PageToken> | null = null;
  try {
    token = JSON.parse(Buffer.from(text, "base64url").toString()) as Partial<PageToken> | null;
  } catch {
    // Told below.
  }
  if (
    token === null ||
    typeof token !== "object" ||
    !(typeof token.after === "string" || Number.isSafeInteger(token.after))
  ) {
    throw createError(
      Code.InvalidArgument,
      "INVALID_PAGE_TOKEN",
      "page_token is not one that this server gave: take next_page_token of the page before, or leave it empty for the first page",
    );
  }
  if (token.of !== digest(request)) {
    throw createError(
      Code.InvalidArgument,
      "INVALID_PAGE_TOKEN",
      "page_token belongs to another request: the filters must stay the same from page to page",
    );
  }
  return token.after as string | number;
}

/** The cursor of a token for a list in the order of positions. @throws ConnectError INVALID_ARGUMENT */
export function parsePosition(text: string, request: string): number {
  const cursor = parsePageToken(text, request);
  if (typeof cursor !== "number") {
    throw createError(Code.InvalidArgument, "INVALID_PAGE_TOKEN", "page_token belongs to another method");
  }
  return cursor;
}

function digest(request: string): string {
  return createHash("sha256").update(request).digest("base64url").slice(0, 16);
}
