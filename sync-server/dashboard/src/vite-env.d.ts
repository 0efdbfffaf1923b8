declare module "virtual:words/*" {
  const words: Record<string, string>;
  export default words;
}
declare module "virtual:enum/WebhookEvent" {
  const words: import("./api/connections").WebhookEvent[];
  export default words;
}
