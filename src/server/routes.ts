import type { DescService } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";

/** A service and its implementation: what both fronts serve. */
export interface Route {
  readonly service: DescService;
  readonly implementation: Partial<ServiceImpl<DescService>>;
  /** For the gRPC port alone: reflection is of no use without it. */
  readonly grpcOnly?: boolean;
}

export function route<Desc extends DescService>(
  service: Desc,
  implementation: Partial<ServiceImpl<Desc>>,
  options?: { readonly grpcOnly?: boolean },
): Route {
  return { service, implementation: implementation as Partial<ServiceImpl<DescService>>, ...options };
}
