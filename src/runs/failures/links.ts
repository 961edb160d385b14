import { readProperty } from "./read-property.ts";

/** Chains are short; whoever makes a longer one gets no more of our time for it. */
const mostLinks = 16;
const mostErrors = 8;

/** An error with all that it was caused by (`cause`, and the `errors` of an AggregateError), the outermost first. */
export function linksOf(error: unknown): readonly unknown[] {
  const links: unknown[] = [];
  const visit = (link: unknown): void => {
    if (links.length >= mostLinks || links.includes(link)) {
      return;
    }
    links.push(link);
    const errors = readProperty(link, "errors");
    // Others than an AggregateError keep other things under this name.
    if (link instanceof AggregateError && Array.isArray(errors)) {
      for (const inner of errors.slice(0, mostErrors)) {
        visit(inner);
      }
    }
    const cause = link instanceof Error ? readProperty(link, "cause") : undefined;
    if (cause !== undefined && cause !== null) {
      visit(cause);
    }
  };
  visit(error);
  return links;
}
