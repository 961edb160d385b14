import { type Html, type HtmlPart, html } from "./html.ts";

/** A column of a table in a page. */
export interface ReportColumn<Row> {
  readonly title: string;
  readonly cell: (row: Row) => HtmlPart;
  /** Numbers stand on the right, so that they can be compared. */
  readonly number?: boolean;
}

/** A table that says what it is, in a box that scrolls by itself where it is too wide for a screen. */
export function table<Row>(
  caption: string,
  columns: readonly ReportColumn<Row>[],
  rows: readonly Row[],
  note?: string,
): Html {
  const head = columns.map(({ title, number }) => html`<th scope="col"${kind(number)}>${title}</th>`);
  const body = rows.map((row) => {
    const cells = columns.map(({ cell, number }, index) =>
      index === 0 ? html`<th scope="row">${cell(row)}</th>` : html`<td${kind(number)}>${cell(row)}</td>`,
    );
    return html`<tr>${cells}</tr>
`;
  });
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table>
<caption>${caption}</caption>
<thead><tr>${head}</tr></thead>
<tbody>
${body}</tbody>
</table></div>
${note === undefined ? undefined : html`<p class="note">${note}</p>`}`;
}

function kind(number: boolean | undefined): Html | undefined {
  return number === true ? html` class="number"` : undefined;
}

/** A part of something as a bar, with its number; those who hear the page have the number. */
export function bar(share: number, text: string | number, tone = "plain"): Html {
  const width = (100 * Math.min(1, Math.max(0, share))).toFixed(1);
  return html`<span class="barred"><svg class="bar ${tone}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="rest" width="100" height="8"/><rect class="part" width="${width}" height="8"/></svg>${text}</span>`;
}
