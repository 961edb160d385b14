import { ScalarType } from "@bufbuild/protobuf";

/** A string literal: escaped where it must be, other text as it is. */
export function stringLiteral(text: string): string {
  return `"${text.replace(/["\\]|\p{Cc}/gu, escapeCharacter)}"`;
}

/** A literal for bytes: printable ASCII as it is, everything else in hexadecimal. */
function bytesLiteral(bytes: Uint8Array): string {
  const characters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return `"${characters.replace(/["\\]|[^\x20-\x7e]/g, escapeByte)}"`;
}

/** A scalar as an option's value; a float with as many digits as it takes to read the same float again. */
export function scalarLiteral(type: ScalarType, value: unknown): string {
  switch (type) {
    case ScalarType.STRING:
      return stringLiteral(value as string);
    case ScalarType.BYTES:
      return bytesLiteral(value as Uint8Array);
    case ScalarType.FLOAT:
      return floatLiteral(shortestFloat32(value as number));
    case ScalarType.DOUBLE:
      return floatLiteral(value as number);
    default:
      return String(value);
  }
}

const escapes: Readonly<Record<string, string>> = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escapeCharacter(character: string): string {
  return escapes[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function escapeByte(character: string): string {
  return escapes[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function floatLiteral(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  // Written out, it could be taken for an integer out of range.
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return value.toExponential();
  return String(value);
}

function shortestFloat32(value: number): number {
  if (value === 0) return value;
  for (let digits = 1; digits <= 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}
