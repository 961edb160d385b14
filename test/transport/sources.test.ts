import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { createVirtualClock } from "../../src/testing/index.ts";
import { Sources } from "../../src/transport/sources.ts";

const proxies = { isTrusted: (address: string | undefined) => address === "10.0.0.1" };
const limits = { maxConnections: 1, resetsPerSecond: 1, maxUnsentBytes: 100, maxUnsentBytesInAll: 250 };

const connection = (remoteAddress: string): Socket => Object.assign(new EventEmitter(), { remoteAddress }) as Socket;

it("a trusted proxy has no limits of one source, and those of all", () => {
  const sources = new Sources(limits, createVirtualClock(), proxies);
  for (let opened = 0; opened < 10; opened++) expect(sources.admit(connection("10.0.0.1"))).toBeDefined();
  const proxy = sources.of("10.0.0.1");
  for (let resets = 0; resets < 1000; resets++) expect(proxy.resets.take()).toBe(true);
  expect([proxy.hold(200), proxy.hold(51), sources.of("203.0.113.1").hold(51)]).toEqual([true, false, false]);
  proxy.release(200);
  expect(sources.of("203.0.113.1").hold(51)).toBe(true);
});

it("clients behind one have theirs, without connections of their own", () => {
  const sources = new Sources(limits, createVirtualClock(), proxies);
  expect([sources.of("203.0.113.1").hold(80), sources.of("203.0.113.1").hold(21)]).toEqual([true, false]);
  expect(sources.of("203.0.113.2").hold(100)).toBe(true);
});

it("what is held for a source is remembered, however many others come and go, and nothing of those", () => {
  const sources = new Sources(limits, createVirtualClock(), proxies);
  sources.of("203.0.113.1").hold(100);
  for (let others = 0; others < 30_000; others++) sources.of(`198.51.${others >> 8}.${others & 255}`);
  expect(sources.of("203.0.113.1").hold(1)).toBe(false);
  expect(sources.size).toBeLessThan(10);
});
