import type { ThemeConfig } from "antd";

/** Dense, quiet, and with one colour of its own: what needs a person stands out, nothing else does. */
export const theme: ThemeConfig = {
  token: {
    colorPrimary: "#0b5c6b",
    colorPrimaryBg: "#e3f0f2",
    colorPrimaryBgHover: "#cfe5e8",
    colorInfoBg: "#e8f2f4",
    colorSuccessBg: "#e7f4ec",
    colorWarningBg: "#fff4e0",
    colorErrorBg: "#fdecea",
    colorInfo: "#0b5c6b",
    colorLink: "#0b5c6b",
    colorSuccess: "#2f7d4f",
    colorWarning: "#b26a00",
    colorError: "#b3261e",
    colorBgLayout: "#f4f6f7",
    colorText: "#1c2b30",
    // 4.5:1 and more on every background used here.
    colorTextSecondary: "#4a5b61",
    colorTextDescription: "#55666c",
    colorTextTertiary: "#5b6b71",
    colorTextPlaceholder: "#65757b",
    colorBorderSecondary: "#e3e8ea",
    borderRadius: 4,
    fontSize: 13,
    fontFamily:
      "system-ui, -apple-system, 'Segoe UI', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', 'Noto Sans SC', sans-serif",
    controlHeight: 30,
    wireframe: false,
    motionDurationMid: "0.1s",
    motionDurationSlow: "0.15s",
  },
  components: {
    Table: {
      cellPaddingBlockSM: 5,
      cellPaddingInlineSM: 10,
      headerBg: "#eef2f3",
      headerColor: "#3d4e54",
      rowHoverBg: "#eef6f7",
    },
    Layout: { siderBg: "#ffffff", headerBg: "#ffffff", headerHeight: 46, headerPadding: "0 16px" },
    Menu: { itemHeight: 32, itemMarginBlock: 1, itemBorderRadius: 4, groupTitleFontSize: 12, iconSize: 14, itemSelectedBg: "#e3f0f2" },
    Card: { headerHeightSM: 36, bodyPaddingSM: 10, headerFontSizeSM: 13 },
    Descriptions: { itemPaddingBottom: 6 },
    Form: { itemMarginBottom: 14, verticalLabelPadding: "0 0 4px" },
    Tag: { defaultBg: "#eef2f3" },
  },
};
