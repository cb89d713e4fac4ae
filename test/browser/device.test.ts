/** createDevice on a page that is cross-origin isolated: devices returned, and refusals. */
import { createDevice } from "early-exits/browser";
import { expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";

it("this page is isolated, so a refusal has another reason", () => expect(crossOriginIsolated).toBe(true));

it("auto is the wasm device with fused multiply-add, on one thread", async () => {
  const device = await createDevice();
  expect(device.backend).toBe("wasm");
  expect(device.info.description).toBe("wasm: WebAssembly SIMD (fused multiply-add), 1 thread");
  await device.dispose();
});

it("the portable build and the reference device run here too", async () => {
  expect((await createDevice("wasm", { build: "portable" })).info.description).toContain("portable");
  expect((await createDevice("reference")).backend).toBe("reference");
});

it("threads are refused on a page's own thread, which may not wait", async () => {
  const wish = createDevice("wasm", { threads: 2 });
  await expectCode(wish, "wasm-threads-missing");
  await expect(wish).rejects.toThrow(
    "2 threads were requested, but a page's own thread may not wait for others; create the device in a Web " +
      "Worker; or use threads: 1",
  );
  await expectCode(createDevice("auto", { threads: 2 }), "wasm-threads-missing");
});

it("a device that does not exist is refused by name", () =>
  expectCode(createDevice("tpu" as "wasm"), "device-unknown"));
