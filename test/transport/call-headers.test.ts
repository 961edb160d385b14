import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { type CallHeaders, createCallHeaders, isCallHeaders } from "../../src/transport/call-headers.ts";

function filled() {
  const fillHeader = vi.fn((headers: Headers) => {
    headers.append("x-b", "2");
    headers.append("x-a", "1");
    headers.append("set-cookie", "c=d");
  });
  const peekHeader = vi.fn(
    (name: string) =>
      new Map([
        ["x-a", "1"],
        ["x-b", "2"],
      ]).get(name) ?? null,
  );
  return { headers: createCallHeaders({ fillHeader, peekHeader }), fillHeader, peekHeader };
}

/** Headers that were set, not filled. */
function given() {
  const headers = createCallHeaders();
  headers.set("x-b", "2");
  headers.set("x-a", "1");
  return headers;
}

const expected = [
  ["set-cookie", "c=d"],
  ["x-a", "1"],
  ["x-b", "2"],
];

describe("headers of a call", () => {
  test("are filled when first looked at, once", () => {
    const { headers, fillHeader } = filled();
    expect(fillHeader).not.toHaveBeenCalled();
    expect(headers.get("X-A")).toBe("1");
    expect(headers.has("x-b")).toBe(true);
    expect(fillHeader).toHaveBeenCalledOnce();
  });

  test("are not filled for a look at one by its plain name", () => {
    const { headers, fillHeader } = filled();
    expect(headers.get("x-a")).toBe("1");
    expect(headers.get("x-c")).toBeNull();
    expect(headers.has("x-b")).toBe(true);
    expect(headers.has("x-c")).toBe(false);
    expect(fillHeader).not.toHaveBeenCalled();
  });

  test("that are deferred are made when somebody looks at them, once, and take the place of what there was", () => {
    const { headers, fillHeader } = filled();
    const make = vi.fn(() => "made");
    headers.defer("x-a", make);
    expect([headers.isDeferred("x-a"), headers.isDeferred("x-b"), headers.changed]).toEqual([true, false, true]);
    expect(headers.get("x-b")).toBe("2");
    expect(make).not.toHaveBeenCalled();
    expect([headers.get("x-a"), headers.get("x-a"), headers.isDeferred("x-a")]).toEqual(["made", "made", false]);
    expect(make).toHaveBeenCalledOnce();
    expect(fillHeader).not.toHaveBeenCalled();
  });

  test.each<[string, (headers: CallHeaders) => unknown]>([
    ["all are listed", (headers) => [...headers]],
    ["all are copied", (headers) => new Headers(headers)],
    ["another is deferred", (headers) => headers.defer("x-d", () => "4")],
  ])("that are deferred are made when %s", (_, look) => {
    const headers = given();
    headers.defer("x-c", () => "3");
    look(headers);
    expect(headers.isDeferred("x-c")).toBe(false);
    expect(headers.get("x-c")).toBe("3");
  });

  test("that are deferred are among those that were set, unless one is set in their place", () => {
    const headers = given();
    headers.defer("x-c", () => "3");
    expect(headers.plain?.toSorted()).toEqual([
      ...[
        ["x-a", "1"],
        ["x-b", "2"],
      ],
      ["x-c", "3"],
    ]);
    const make = vi.fn(() => "made");
    headers.defer("x-c", make);
    headers.set("x-c", "5");
    expect(headers.get("x-c")).toBe("5");
    expect(make).not.toHaveBeenCalled();
  });

  test("that were set are told whole, in whichever way one looks", () => {
    const both = [
      ["x-a", "1"],
      ["x-b", "2"],
    ];
    expect([...given()]).toEqual(both);
    expect([...new Headers(given())]).toEqual(both);
    expect(given().plain?.toSorted()).toEqual(both);
    expect(given().get("x-a")).toBe("1");
    expect(given().get("X-A")).toBe("1");
    expect(given().has("x-c")).toBe(false);
    const more = given();
    more.append("x-a", "3");
    more.set("X-B", "4");
    more.set("x-c", " padded ");
    more.delete("x-d");
    expect(more.plain).toBeUndefined();
    expect([...more]).toEqual([
      ["x-a", "1, 3"],
      ["x-b", "4"],
      ["x-c", "padded"],
    ]);
    expect(() => given().set("no name", "x")).toThrow(TypeError);
    expect(() => given().set("x-a", "new\nline")).toThrow(TypeError);
  });

  test("tell what was set before what they are filled with, and need no filling for it", () => {
    const { headers, fillHeader } = filled();
    headers.set("x-a", "3");
    headers.set("x-c", "4");
    expect(["x-a", "x-b", "x-c", "x-d"].map((name) => headers.get(name))).toEqual(["3", "2", "4", null]);
    expect(headers.plain).toBeUndefined();
    expect(headers.changed).toBe(true);
    expect(fillHeader).not.toHaveBeenCalled();
    expect([...headers]).toEqual([
      ["set-cookie", "c=d"],
      ["x-a", "3"],
      ["x-b", "2"],
      ["x-c", "4"],
    ]);
  });

  test("know whether anybody has changed them; filling is no change", () => {
    const { headers } = filled();
    headers.get("x-a");
    expect(headers.changed).toBe(false);
    for (const change of [
      (h: Headers) => h.set("x-a", "3"),
      (h: Headers) => h.append("x-a", "3"),
      (h: Headers) => h.delete("x-a"),
    ]) {
      const changed = createCallHeaders();
      change(changed);
      expect(changed.changed).toBe(true);
    }
  });

  test.each([
    ["new Headers", (headers: Headers) => [...new Headers(headers)]],
    ["a Response", (headers: Headers) => [...new Response(null, { headers }).headers]],
    ["a Request", (headers: Headers) => [...new Request("http://localhost", { headers }).headers]],
    ["iteration", (headers: Headers) => [...headers]],
    ["entries", (headers: Headers) => [...headers.entries()]],
    ["keys and values", (headers: Headers) => [...headers.keys()].map((key, i) => [key, [...headers.values()][i]])],
    [
      "forEach",
      (headers: Headers) => {
        const seen: string[][] = [];
        headers.forEach((value, key) => {
          seen.push([key, value]);
        });
        return seen;
      },
    ],
  ])("are headers to %s", (_, read) => {
    expect(read(filled().headers)).toEqual(expected);
  });

  test("are headers to instanceof and to people", () => {
    const { headers } = filled();
    expect(headers).toBeInstanceOf(Headers);
    expect(isCallHeaders(headers)).toBe(true);
    expect(isCallHeaders(new Headers())).toBe(false);
    expect(inspect(headers)).toContain("'x-a': '1'");
    expect(headers.getSetCookie()).toEqual(["c=d"]);
  });
});
