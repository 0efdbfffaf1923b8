import { beforeAll, describe, expect, it } from "vitest";
import { begin } from "../../i18n";
import { denominatorOf, numeratorOf, plotted, valueOf } from "./shown";

const of = (unit: "share" | "rate" | "milliseconds" | "fen", numerator: number, denominator: number) => ({ unit, numerator, denominator, unknown: 0, provisional: 0 });

describe("a figure", () => {
  beforeAll(() => begin("en"));

  it("is nothing where there is nothing to divide by", () => {
    expect(valueOf(of("share", 0, 0))).toBe("—");
    expect(plotted(of("milliseconds", 0, 0))).toBeNull();
  });
  it("is a percentage of cases, or of money", () => {
    expect(valueOf(of("share", 2, 3))).toBe("66.7%");
    expect(plotted(of("share", 2, 3))).toBe(66.7);
    expect(valueOf(of("fen", 150_00, 300_00))).toBe("50.0%");
    expect(numeratorOf(of("fen", 150_00, 300_00))).toBe("¥150.00");
    expect(denominatorOf(of("fen", 150_00, 300_00))).toBe("¥300.00");
  });
  it("is a mean of times, below nothing too", () => {
    expect(plotted(of("milliseconds", 7_200_000, 4))).toBe(0.5);
    expect(valueOf(of("milliseconds", -7_200_000, 2)).startsWith("−")).toBe(true);
  });
  it("is a rate that may be above one", () => {
    expect(valueOf(of("rate", 3, 2))).toBe("1.50");
  });
});
