import { expect, it } from "vitest";
import { Html, html } from "../../../src/cli/report/html.ts";

it("shows what it is given as it is, and lets nothing of it be markup", () => {
  const evil = `<script>alert("1")</script>'\``;
  expect(html`<p title="${evil}">${evil}</p>`.text).toBe(
    '<p title="&#60;script&#62;alert(&#34;1&#34;)&#60;/script&#62;&#39;&#96;">&#60;script&#62;alert(&#34;1&#34;)&#60;/script&#62;&#39;&#96;</p>',
  );
});

it("keeps markup of its own, in lists too, and leaves out what is not there", () => {
  expect(html`<ul>${["a & b", "c"].map((text) => html`<li>${text}</li>`)}${undefined}</ul>`).toEqual(
    new Html("<ul><li>a &#38; b</li><li>c</li></ul>"),
  );
});

it("leaves out what would turn the direction of writing, or end a line", () => {
  expect(html`${"run \u202egnp.exe\u0000\nnext"}`.text).toBe("run  gnp.exe next");
});
