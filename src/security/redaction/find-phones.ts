import type { Stretch } from "./find-cards.ts";

/** International, as "+49 (0)30 1234567": 8 to 15 digits behind a plus. */
const international = /(?<![\w+])\+\d(?:[ ()./-]{0,2}\d){6,14}(?!\d)/g;
/** As they are written in North America: "(555) 010-1234", "555-010-1234", "555.010.1234". */
const northAmerican = /(?<![\w.+-])(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w]|[-.]\d)/g;

/** Telephone numbers that look like ones: with a plus, or grouped. */
export function findPhones(text: string): Stretch[] {
  const found: Stretch[] = [];
  for (const pattern of [international, northAmerican]) {
    for (const { 0: match, index } of text.matchAll(pattern)) {
      found.push({ start: index, end: index + match.length });
    }
  }
  return found;
}
