import type { LocatedOption, PrintedOptions } from "./options.ts";
import { type Comments, comparePositions, type Position, type SourceIndex } from "./source.ts";

/** A declaration, printed and ready to be put in its place. */
export interface Declaration {
  readonly lines: readonly string[];
  /** Where it stood in the source, when that is known. */
  readonly position: Position | undefined;
  /** Neighbours of one block (extensions of one message) share its opening and closing lines. */
  readonly block?: Block;
}

/** The enclosing braces of a declaration that is no member of its own in the descriptor. */
export interface Block {
  readonly key: unknown;
  readonly open: string;
  readonly comments: Comments;
}

/** Lists of options up to this width stay on the line of their element. */
const LINE_WIDTH = 100;

/** Joins declarations, in source order when every position is known, else as given. */
export function layOut(declarations: readonly Declaration[]): string[] {
  const lines: string[] = [];
  let previous = 0;
  for (const member of joinBlocks(inSourceOrder(declarations))) {
    // What takes more than a line stands apart, so that a comment belongs to one neighbour only.
    if (previous > 1 || (previous > 0 && member.length > 1)) lines.push("");
    lines.push(...member);
    previous = member.length;
  }
  return lines;
}

/** `open {`, the indented body, `}`. */
export function braced(open: string, body: readonly string[], comments: Comments): string[] {
  if (body.length === 0 && comments.trailing.length === 0) return [...comments.before, `${open} {}`];
  const inside = body.length === 0 ? comments.trailing : apart(comments.trailing, body);
  return [...comments.before, `${open} {`, ...indent(inside), "}"];
}

/** A comment right after the brace is the element's own; an empty line keeps those of the body from it. */
function apart(trailing: readonly string[], body: readonly string[]): string[] {
  if (trailing.length > 0) return [...trailing, "", ...body];
  const firstOther = body.findIndex((line) => !line.startsWith("//"));
  return firstOther > 0 && body[firstOther] === "" ? ["", ...body] : [...body];
}

/** A declaration that ends in `;`, with its comments before and after it. */
export function statement(lines: readonly string[], comments: Comments): string[] {
  const [trailing, ...more] = comments.trailing;
  if (trailing === undefined) return [...comments.before, ...lines];
  if (more.length > 0 || lines.length > 1) return [...comments.before, ...lines, ...comments.trailing];
  return [...comments.before, `${lines[0] ?? ""} ${trailing}`];
}

/** Options as `option name = value;`, each with the comments at its path within the options message. */
export function optionStatements(
  { options, unresolved }: PrintedOptions<LocatedOption>,
  source: SourceIndex,
  optionsPath: readonly number[],
): string[] {
  return [
    ...unresolvedComments(unresolved),
    ...options.flatMap(({ name, value, path }) =>
      statement(`option ${name} = ${value};`.split("\n"), source.comments([...optionsPath, ...path])),
    ),
  ];
}

/** An element's line with its options in brackets, and the semicolon. */
export function withOptions(line: string, { options, unresolved }: PrintedOptions): string[] {
  const comments = unresolvedComments(unresolved);
  if (options.length === 0) return [...comments, `${line};`];
  const written = options.map(({ name, value }) => `${name} = ${value}`);
  const inline = `${line} [${written.join(", ")}];`;
  if (!inline.includes("\n") && inline.length <= LINE_WIDTH) return [...comments, inline];
  const entries = written.flatMap((entry, index) => `${entry}${index === written.length - 1 ? "" : ","}`.split("\n"));
  return [...comments, `${line} [`, ...indent(entries), "];"];
}

/** Options first, then an empty line, then the members. */
export function withGap(options: readonly string[], members: readonly string[]): string[] {
  return options.length > 0 && members.length > 0 ? [...options, "", ...members] : [...options, ...members];
}

/** Two spaces before every line that has text. */
export function indent(lines: readonly string[]): string[] {
  return lines.map((line) => (line === "" ? "" : `  ${line}`));
}

function unresolvedComments(unresolved: readonly string[]): string[] {
  return unresolved.map((what) => `// Not shown: ${what}, an option that no known file declares.`);
}

function inSourceOrder(declarations: readonly Declaration[]): readonly Declaration[] {
  const positioned = declarations.flatMap((declaration) =>
    declaration.position === undefined ? [] : [{ declaration, position: declaration.position }],
  );
  if (positioned.length < declarations.length) return declarations;
  return positioned.sort((a, b) => comparePositions(a.position, b.position)).map(({ declaration }) => declaration);
}

function joinBlocks(declarations: readonly Declaration[]): string[][] {
  const joined: string[][] = [];
  let open: { block: Block; members: Declaration[] } | undefined;
  const close = (): void => {
    if (open === undefined) return;
    const members = open.members.map(({ lines, position }) => ({ lines, position }));
    joined.push(braced(open.block.open, layOut(members), open.block.comments));
    open = undefined;
  };
  for (const declaration of declarations) {
    if (open !== undefined && open.block.key === declaration.block?.key) {
      open.members.push(declaration);
      continue;
    }
    close();
    if (declaration.block === undefined) joined.push([...declaration.lines]);
    else open = { block: declaration.block, members: [declaration] };
  }
  close();
  return joined;
}
