/** Accounts, passwords, roles and sessions. */

import type { Same } from "./catalogue";

export const en = {
  people: "People",
  accounts: "Accounts",
  accountName: "Name",
  role: "Role",
  sessionCount: "Sessions",
  damaged: "damaged: give it a password",
  newPassword: "New password",
  removeAccount: "Remove",
  addAccount: "Add account",
  passwordOrMade: "Password (empty: one is made)",
  madePassword: (name: string) => `Password of ${name}, shown only now:`,
  sureRemove: (name: string) => `Remove ${name}? The sessions end at once; what was said stays.`,
  sureRole: (name: string, role: string) => `${name} is ${role} from now on.`,
  surePassword: (name: string) => `Give ${name} another password? The sessions of this account end at once.`,
  sessions: "Sessions",
  begun: "Since",
  address: "Address",
  browser: "Browser",
  endSession: "End",
  acts: "What was done to accounts",
  nothingDone: "Nothing yet",
  act: (what: string) => what,
  ownPassword: "My password",
  presentPassword: "Present password",
  nextPassword: "New password, 10 characters or more",
  passwordOnce: "New password once more",
  notTheSame: "The two new passwords are not the same.",
  presentWrong: "The present password is another one.",
  passwordChanged: "Changed. Other sessions of yours have ended.",
  onlyAdmins: "Accounts are kept by admins. Here you change your own password.",
  notDone: (what: string) => `Not done: ${what}`,
};

const DONE: Readonly<Record<string, string>> = {
  removed: "已删除",
  "given another password": "已更换密码",
  "session ended": "会话已结束",
};
const ROLES: Readonly<Record<string, string>> = {
  viewer: "查看",
  operator: "操作",
  engineer: "工程",
  admin: "管理",
};

export const zh: Same<typeof en> = {
  people: "人员",
  accounts: "账号",
  accountName: "姓名",
  role: "角色",
  sessionCount: "会话数",
  damaged: "数据损坏：请重设密码",
  newPassword: "重设密码",
  removeAccount: "删除",
  addAccount: "添加账号",
  passwordOrMade: "密码（留空则自动生成）",
  madePassword: (name) => `${name} 的密码，仅显示这一次：`,
  sureRemove: (name) => `删除 ${name}？其会话立即结束，已记录的内容保留。`,
  sureRole: (name, role) => `${name} 现在的角色是${role}。`,
  surePassword: (name) => `为 ${name} 重设密码？该账号的会话立即结束。`,
  sessions: "会话",
  begun: "开始于",
  address: "地址",
  browser: "浏览器",
  endSession: "结束",
  acts: "账号变更记录",
  nothingDone: "暂无",
  act: (what) => {
    const role = /^(?:added as|made) (\w+)$/.exec(what)?.[1] ?? "";
    if (role !== "") return what.startsWith("added") ? `已添加，角色${ROLES[role] ?? role}` : `角色改为${ROLES[role] ?? role}`;
    return DONE[what] ?? what;
  },
  ownPassword: "我的密码",
  presentPassword: "当前密码",
  nextPassword: "新密码，至少 10 个字符",
  passwordOnce: "再次输入新密码",
  notTheSame: "两次输入的新密码不一致。",
  presentWrong: "当前密码不正确。",
  passwordChanged: "已更改。您的其他会话已结束。",
  onlyAdmins: "账号由管理员维护。您可以在这里更改自己的密码。",
  notDone: (what) => `未完成：${what}`,
};
