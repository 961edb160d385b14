import { plainText } from "../display/plain-text.ts";

/** Markup that is safe to be put into a page. Only `html` makes it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type HtmlPart = Html | string | number | bigint | undefined | readonly HtmlPart[];

/** Markup, in which everything that is no markup itself is shown as it is: whatever it holds, it becomes text. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  let text = strings[0] ?? "";
  for (const [index, part] of parts.entries()) text += `${markup(part)}${strings[index + 1] ?? ""}`;
  return new Html(text);
}

function markup(part: HtmlPart): string {
  if (part === undefined) return "";
  if (part instanceof Html) return part.text;
  if (Array.isArray(part)) return part.map(markup).join("");
  return escaped(String(part));
}

/** Also for attributes, in double quotes. Marks that turn the direction of writing are no part of any name. */
function escaped(text: string): string {
  return plainText(text).replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}
