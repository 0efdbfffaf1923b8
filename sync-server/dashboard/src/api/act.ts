import { useMutation, useQueryClient } from "@tanstack/react-query";
import { App } from "antd";
import { useTranslation } from "react-i18next";
import { told } from "./problem";

interface Acting {
  /** Whether it is under way. */
  busy: boolean;
  /** Does it; resolves to what was answered, or to nothing where it failed, having said so. */
  act: <T>(work: () => Promise<T>, done?: string) => Promise<{ answered: T } | undefined>;
  /** The same where only matters whether it was done. */
  done: (work: () => Promise<unknown>, done?: string) => Promise<boolean>;
}

/** Does what is no command; what is kept under `key` is asked again after it: all where it is absent, nothing where it is null. */
export function useAct(key?: string | null): Acting {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const client = useQueryClient();
  const mutation = useMutation({
    mutationFn: (work: () => Promise<unknown>) => work(),
    onError: (error) => void message.error({ content: told(t, error), duration: 6 }),
    onSettled: () => (key === null ? undefined : client.invalidateQueries(key === undefined ? {} : { queryKey: [key] })),
  });
  const act: Acting["act"] = async (work, done) => {
    try {
      const answered = await mutation.mutateAsync(work);
      if (done !== undefined) void message.success(done);
      return { answered: answered as Awaited<ReturnType<typeof work>> };
    } catch {
      return undefined;
    }
  };
  return { busy: mutation.isPending, act, done: async (work, done) => (await act(work, done)) !== undefined };
}
