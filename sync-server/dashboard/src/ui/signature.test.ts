import { describe, expect, it } from "vitest";
import { lines } from "./signature";

describe("a signature's strokes", () => {
  it("become a line each, and a dot a line without length", () => {
    expect(lines("1,2 3,4;700,200")).toEqual(["1,2 3,4", "700,200 700,200"]);
  });
  it("let only numbers through", () => {
    expect(lines('1,2 3,4;<b>,5;9,9 x,y "><script>')).toEqual(["1,2 3,4", "9,9 9,9"]);
    expect(lines("")).toEqual([]);
  });
  it("end somewhere", () => {
    expect(lines("1,1 ".repeat(30_000))[0]?.split(" ")).toHaveLength(20_000);
  });
});
