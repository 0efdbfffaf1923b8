import { useMutation, useQueryClient } from "@tanstack/react-query";
import { App } from "antd";
import { useTranslation } from "react-i18next";
import { command as send } from "./client";
import { told } from "./problem";
import type { Command } from "./types";

export type { Command };

interface Giving {
  /** Whether it is under way. */
  busy: boolean;
  /** Gives commands one after the other; resolves to whether all were carried out. Says so where not. */
  give: (...commands: Command[]) => Promise<boolean>;
}

/** Gives commands to the office's one door; what is shown is asked again after them. */
export function useCommand(done?: string): Giving {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const client = useQueryClient();
  const mutation = useMutation({
    mutationFn: async (commands: Command[]) => {
      for (const command of commands) await send(command);
    },
    onSuccess: () => {
      if (done !== undefined) void message.success(done);
    },
    onError: (error) => {
      void message.error({ content: told(t, error), duration: 6 });
    },
    onSettled: () => client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "session" }),
  });
  return {
    busy: mutation.isPending,
    give: (...commands) =>
      mutation.mutateAsync(commands).then(
        () => true,
        () => false,
      ),
  };
}
