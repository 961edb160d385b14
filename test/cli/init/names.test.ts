import { describe, expect, it } from "vitest";
import { projectNames } from "../../../src/cli/init/names.ts";

describe("projectNames", () => {
  it.each([
    ["studio", undefined, "studio", "studio.v1", "StudioService", "studio/v1/studio_service.proto"],
    ["My Films!", undefined, "my-films", "my_films.v1", "MyFilmsService", "my_films/v1/my_films_service.proto"],
    [
      "posterShop",
      undefined,
      "postershop",
      "poster_shop.v1",
      "PosterShopService",
      "poster_shop/v1/poster_shop_service.proto",
    ],
    ["2fast", undefined, "2fast", "fast.v1", "FastService", "fast/v1/fast_service.proto"],
    ["retake", undefined, "studio", "studio.v1", "StudioService", "studio/v1/studio_service.proto"],
    ["映画", undefined, "studio", "studio.v1", "StudioService", "studio/v1/studio_service.proto"],
    ["x", "acme.media.v2", "x", "acme.media.v2", "MediaService", "acme/media/v2/media_service.proto"],
    ["x", "acme", "x", "acme.v1", "AcmeService", "acme/v1/acme_service.proto"],
  ])("of the directory %s and the package %s", (directory, asked, npmName, packageName, serviceName, contract) => {
    expect(projectNames(directory, asked)).toEqual({ npmName, packageName, serviceName, contract });
  });

  it.each([
    ["Acme.Media", "lower-case words"],
    ["acme..v1", "lower-case words"],
    ["google.cloud.v1", "google belongs to others"],
    ["v1", "a version alone"],
  ])("refuses the package %s", (asked, message) => {
    expect(() => projectNames("x", asked)).toThrow(message);
  });
});
