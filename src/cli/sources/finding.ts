/** Something about a contract or a handler that is wrong, or will hurt: where it stands, why, and what to write. */
export interface Finding {
  /** An error cannot be served, a warning can. */
  readonly severity: "error" | "warning";
  /** Names the kind, for machines and for those who silence it: `long-unary`. */
  readonly rule: string;
  /** The path of the file; empty where nobody knows. */
  readonly file: string;
  /** Counted from 1; 0 where nobody knows. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly fixes: readonly Fix[];
}

/** Lines to write. */
export interface Fix {
  /** Ends before a colon: `in its option (retake.v1.workflow)`. */
  readonly where: string;
  readonly lines: readonly string[];
}

/** In the form that editors and terminals make a link of, and below it what to write. */
export function findingLines({ severity, rule, file, line, column, message, fixes }: Finding): string[] {
  const place = file === "" ? "" : line === 0 ? `${file}: ` : `${file}:${line}:${column}: `;
  const [first = "", ...more] = message.split("\n");
  return [
    `${place}${severity}: ${first} [${rule}]`,
    ...more.map((text) => `  ${text}`),
    ...fixes.flatMap(({ where, lines }) => [`  ${where}:`, ...lines.map((text) => `      ${text}`.trimEnd())]),
  ];
}
