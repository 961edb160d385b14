import { expect, test } from "vitest";
import { serverOf } from "../../src/transport/target.ts";

test.each([
  ["127.0.0.1:50051", "127.0.0.1", 50051],
  ["gpu-1:50061", "gpu-1", 50061],
  ["gpu-1", "gpu-1", undefined],
  ["dns:///gpu-pool.studio:50061", "gpu-pool.studio", 50061],
  ["dns:gpu-pool:50061", "gpu-pool", 50061],
  ["dns://9.9.9.9/gpu-pool:443", "gpu-pool", 443],
  ["[::1]:50051", "::1", 50051],
  ["ipv6:[2001:db8::1]:50051", "2001:db8::1", 50051],
  ["ipv4:10.0.0.1:50051,10.0.0.2:50052", "10.0.0.1", 50051],
  ["unix:/run/gpu.sock", "/run/gpu.sock", undefined],
  ["unix:///run/gpu.sock", "/run/gpu.sock", undefined],
])("%s is a server with its port apart", (target, address, port) => {
  expect(serverOf(target)).toEqual({ address, port });
});
