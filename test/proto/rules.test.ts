import { create, createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { withImports } from "../../src/contract/index.ts";
import { file_retake_test_v1_ruled, RuledSchema } from "../gen/retake/test/v1/ruled_pb.js";

const validator = createValidator({ registry: createRegistry(...withImports([file_retake_test_v1_ruled])) });

/** The ids of the rules that a message breaks. */
function broken(message: MessageInitShape<typeof RuledSchema>): string[] {
  const result = validator.validate(RuledSchema, create(RuledSchema, message));
  if (result.kind === "error") throw result.error;
  return (result.violations ?? []).map(({ ruleId }) => ruleId);
}

/** Escapes what a terminal would not show. */
function shown(text: string): string {
  return JSON.stringify(text.slice(0, 60)).replace(/[^ -~]/gu, (character) => {
    return `\\u{${character.codePointAt(0)?.toString(16)}}`;
  });
}

const latin = "A harbour at dusk, 35 mm, shallow depth of field";

describe("safe_text", () => {
  const harmless = [
    "",
    latin,
    "line one\nline two\r\n\tindented",
    "夕暮れの港、漁船、水彩画。「静かな海」",
    "황혼의 항구, 수채화",
    "黄昏的港口，渔船，水彩",
    "مرفأ عند الغروب مع قوارب الصيد",
    "نمای بندر در غروب می‌خواهم",
    "נמל בשעת הדמדומים, 3 סירות",
    "‎abc‏ with marks of direction",
    "बंदरगाह सूर्यास्त के समय",
    "ท่าเรือยามพลบค่ำ",
    "Порт на закате, масло",
    "👨‍👩‍👧‍👦 and 👩🏽‍🚀 at the beach 🏖️",
    "the flag of Scotland 🏴󠁧󠁢󠁳󠁣󠁴󠁿 and of Wales 🏴󠁧󠁢󠁷󠁬󠁳󠁿",
    "I <3 harbours; 3 < 5 > 2, a<b and b>c",
    "<lora:ink:0.8> <hypernet:ghost:1> <image> <|endoftext|>",
    "(masterpiece:1.2), [blurry], {red|blue} boat",
    'He said "click on = start", once = twice, one=1, only = us',
    "JavaScript: The Good Parts, a film about programmers",
    "Learning TypeScript and JavaScript",
    "the script reads: fade in; a scripted event (very form-al)",
    "AT&T and R&D &amp; friends, 100 % of 5 %",
    "data: a table of figures, in html or not",
    "online, onward, ontology",
    "https://studio.example/a?b=c&d=e#f",
    "e\u0301 and \u1e69 in other forms of normalisation",
    "x".repeat(100_000),
    "港".repeat(80_000),
    `${latin}. `.repeat(200),
  ];
  it.each(harmless.map((text) => [shown(text), text] as const))("allows %s", (_, text) => {
    expect(broken({ text })).toEqual([]);
  });

  const attacks: readonly (readonly [rule: string, texts: readonly string[]])[] = [
    ["size", ["x".repeat(100_001), "港".repeat(90_000), "👩".repeat(70_000)]],
    [
      "control",
      [
        "\0",
        "a\u0007",
        "\b\b\b\bharmless",
        "\u001b[2J",
        "\u001b]0;owned\u0007",
        "a\u007fb",
        "\u0085",
        "\u009b31m",
        "a\u2028b",
        "a\u2029b",
        "\u000b",
        "\u000c",
        "\ufff9a\ufffab\ufffb",
        "\uffff",
        "\ufffe",
      ],
    ],
    [
      "bidi",
      [
        "\u202egnp.exe",
        "\u202dabc",
        "\u202aabc\u202c",
        "\u202babc",
        "\u2066abc\u2069",
        "\u2067abc",
        "\u2068abc",
        "/*\u202e } \u2066if (admin)\u2069 \u2066 begin */",
        "\u206a",
      ],
    ],
    [
      "hidden",
      [
        "draw a cat \u{e0049}\u{e0067}\u{e006e}\u{e006f}\u{e0072}\u{e0065}",
        "\u{e0001}",
        "\u{1f3f4}\u{e0049}\u{e0067}\u{e006e}\u{e006f}\u{e0072}\u{e0065}\u{e0020}\u{e0061}\u{e007f}",
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿\u{e0067}",
        "ig\u2060nore",
        "\u2062\u2063",
        "\u3164",
        "\uffa0",
        "\u{e0100}\u{e0101}",
      ],
    ],
    [
      "element",
      [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//evil.example/x.js>",
        "<ScRiPt >alert(1)",
        "<script\n>alert(1)</script\n>",
        "<script/x>alert(1)</script>",
        "</script><script>alert(1)",
        "<<script>alert(1)//<</script>",
        "<scr<script>ipt>",
        "< script >alert(1)</ script >",
        "<\tscript>",
        "<svg:script>",
        "<iframe src=//evil.example>",
        "<IFRAME SRCDOC='x'>",
        "<object data=x>",
        "<embed src=x>",
        "<applet code=x>",
        "<meta http-equiv=refresh content=0>",
        "<link rel=stylesheet href=//evil.example>",
        "<base href=//evil.example>",
        "<form action=//evil.example>",
        "<svg/onload=alert(1)>",
        "<svg><animate attributeName=href>",
        "<math href=x>",
        "<style>@import '//evil.example'</style>",
        "<template><b>",
        "<body background=x>",
        "<frameset>",
        "<marquee>",
        "<isindex type=image>",
        "<!--<img src=x>-->",
        "<!DOCTYPE html>",
        "<!ENTITY xxe SYSTEM 'file:///etc/passwd'>",
        "<![CDATA[x]]>",
        "<?php echo 1 ?>",
        "<?xml version='1.0'?>",
        "<?= 1 ?>",
        "<%= 1 %>",
        "&lt;script&gt;alert(1)",
        "&#60;script>",
        "&#x3C;script>",
        "&#0000060script>",
        "%3Cscript%3E",
        "\\x3cscript\\x3e",
        "\\u003cscript\\u003e",
        "\uff1cscript\uff1e",
        "\ufe64script\ufe65",
        "<\u017fcript>",
        "<xss id=x tabindex=1>",
      ],
    ],
    [
      "handler",
      [
        "<img src=x onerror=alert(1)>",
        "<IMG SRC=x OnErRoR = alert(1)>",
        "<img src=x onerror\n=\nalert(1)",
        "<img/src=x/onerror=alert(1)>",
        "<a href=x onmouseover='x'>",
        "<video onwhatever=x>",
        "<details open ontoggle=alert(1)>",
        "<input autofocus onfocus=alert(1)>",
        "<div onpointerrawupdate=x>",
        '" onmouseover="alert(1)',
        "' onfocus='alert(1)' autofocus='",
        "` onclick=alert(1)",
        "x onerror =alert(1)",
        "onload=alert(1)",
        "<b onbeforescriptexecute=x>",
        "&lt;img src=x onerror=alert(1)&gt;",
        "\uff1cimg src=x onerror=alert(1)\uff1e",
      ],
    ],
    [
      "url",
      [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "javascript: alert(1)",
        "java\tscript:alert(1)",
        "java\nscript:alert(1)",
        "j\na\nv\na\ns\nc\nr\ni\np\nt\n:alert(1)",
        "<a href=javascript:alert(1)>",
        "<a href='javascript: void 0'>",
        "(javascript: x",
        "javascript&colon;alert(1)",
        "javascript&#58;alert(1)",
        "<a href='&#106;avascript:x'>",
        "<a href='jav&#x0A;ascript:x'>",
        "<a href='jav&Tab;ascript:x'>",
        "vbscript:msgbox(1)",
        "livescript:x",
        "data:text/html,<b>",
        "data:text/html;base64,PHNjcmlwdD4=",
        "DATA:image/svg+xml;base64,x",
        "data:application/xhtml+xml,x",
        "data:text/javascript,x",
      ],
    ],
  ];
  describe.each(attacks)("%s", (rule, texts) => {
    it.each(texts.map((text) => [shown(text), text] as const))("refuses %s", (_, text) => {
      expect(broken({ text })).toContain(`string.safe_text.${rule}`);
    });
  });

  it("goes together with other limits, and tells every violation", () => {
    expect(broken({ line: "港".repeat(7) })).toEqual(["string.max_bytes"]);
    expect(broken({ line: "<script>\0javascript:x" }).sort()).toEqual([
      "string.max_bytes",
      "string.max_len",
      "string.safe_text.control",
      "string.safe_text.element",
      "string.safe_text.url",
    ]);
  });

  it("allows everything where it is false", () => {
    expect(broken({ anything: "<script>" })).toEqual([]);
  });
});

describe("safe_file_name", () => {
  it.each([
    "harbour.png",
    "Harbour at dusk (2).tar.gz",
    "夕暮れの港.png",
    "غروب.png",
    "🏖️.webp",
    "a",
    "con-artist.txt",
    "console.log",
    "com10.txt",
    "nullable.png",
    "auxiliary",
    "100%.png",
    "v1..2.png",
    "x".repeat(255),
    "file_name-1+2=3,4;5'6@7#8!9.png",
  ])("allows %j", (fileName) => {
    expect(broken({ fileName })).toEqual([]);
  });

  it.each([
    "",
    ".",
    "..",
    "...",
    "../x",
    "..\\x",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "C:\\x",
    "C:x",
    "file.txt:stream",
    "file::$DATA",
    ".bashrc",
    ".htaccess",
    "-rf",
    "--output=x",
    "~root",
    " a",
    "a ",
    "a.",
    "a\u0000.png",
    "a\n.png",
    "a\u007f",
    "a*",
    "a?",
    'a"b',
    "a<b",
    "a>b",
    "a|b",
    "CON",
    "con.txt",
    "Nul",
    "prn.tar.gz",
    "AUX ",
    "com1",
    "COM¹.txt",
    "lpt9.doc",
    "conin$",
    "CLOCK$",
    "a%2fb",
    "a%2Fb",
    "%2e%2e%2fx",
    "a%5cb",
    "a%00.png",
    "a%252fb",
    "a%25252fb",
    "a\u2215b",
    "a\u2044b",
    "a\uff0fb",
    "a\uff3cb",
    "a\u29f8b",
    "\uff0e\uff0e",
    "gnp.\u202eexe",
    "a\u200bb.png",
    "\ufeffa.png",
    "a\u2066b",
    "a\u{e0041}b",
    "x".repeat(256),
    "港".repeat(86),
  ])("refuses %j", (fileName) => {
    expect(broken({ fileName }).join()).toContain("string.safe_file_name.");
  });
});

describe("safe_path", () => {
  it.each([
    "harbour.png",
    "films/2026/harbour.png",
    "films/a..b/c...d.png",
    ".config/retake",
    "films/夕暮れ/港.png",
    "a/.b/c",
    "a b/c d",
    "50%/x",
    "x".repeat(4096),
  ])("allows %j", (path) => {
    expect(broken({ path })).toEqual([]);
  });

  it.each([
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "/",
    "/etc/passwd",
    "//host/share",
    "\\\\host\\share",
    "..\\x",
    "a\\..\\b",
    "a/..\\b",
    "C:/x",
    "c:x",
    "file:///etc/passwd",
    "http://x",
    "~/x",
    "~root/x",
    "a/.../b",
    "..../x",
    "....//....//etc",
    "a/.. /b",
    "a/ ../b",
    "%2e%2e/x",
    "%2E%2E%2Fx",
    "a/%2e%2e/b",
    "..%2fx",
    "..%5cx",
    "%252e%252e%252f",
    "%25252e",
    "a%00b",
    "%c0%ae%c0%ae/",
    "%c0%afetc",
    "%e0%80%ae",
    "%f0%80%80%ae",
    "%u002e%u002e",
    "a\0b",
    "a\nb",
    "\uff0e\uff0e/x",
    "\u2025/x",
    "a\uff0f..\uff0fb",
    "a\u2215b",
    "a:b",
    "a/\u202eb",
    "x".repeat(4097),
  ])("refuses %j", (path) => {
    expect(broken({ path }).join()).toContain("string.safe_path.");
  });
});

describe("public_url", () => {
  it.each([
    "https://studio.example/harbour.png",
    "http://studio.example",
    "HTTPS://Studio.Example/A",
    "https://a.b.c.studio.example:8443/x?y=z&w=%20#top",
    "https://studio.example:65535/",
    "https://xn--bcher-kva.example/x",
    "https://studio.xn--p1ai/",
    "https://my_bucket.s3.amazonaws.com/key+with+plus",
    "https://storage.googleapis.com/b/%E6%B8%AF.png",
    "https://8.8.8.8/",
    "https://1.1.1.1:443/x",
    "https://172.15.0.1/",
    "https://172.32.0.1/",
    "https://100.63.255.255/",
    "https://100.128.0.1/",
    "https://192.167.1.1/",
    "https://169.253.1.1/",
    "https://198.20.0.1/",
    "https://223.255.255.1/",
    "https://[2606:4700:4700::1111]/",
    "https://[2a00:1450:4001:81b::200e]:443/x",
    "https://[2001:4860:4860::8888]/",
    "https://[2001:200::1]/",
    "https://localhost.example/",
    "https://internal.example/",
    "https://notlocalhost.com/",
    "https://mylocal.net/127.0.0.1",
    "https://studio.example/?next=http://127.0.0.1/",
    "https://studio.example/user@host",
    "https://10.example/",
  ])("allows %s", (url) => {
    expect(broken({ url })).toEqual([]);
  });

  it.each([
    // What is none.
    ...["", "studio.example", "//studio.example", "https:", "https://", "https:///x", "https:studio.example"],
    ...["ftp://studio.example/", "file:///etc/passwd", "gopher://studio.example/", "javascript:alert(1)", "data:,x"],
    ...["dict://studio.example/", "ws://studio.example/", "jar:https://studio.example!/", "https//studio.example"],
    // This host.
    ...[
      "http://localhost/",
      "http://LOCALHOST:80/",
      "http://localhost./",
      "http://foo.localhost/",
      "http://a.b.localhost",
    ],
    ...["http://localhost.localdomain/", "http://127.0.0.1/", "http://127.0.0.1:80/", "http://127.255.255.254/"],
    ...["http://127.0.0.1./", "http://0.0.0.0/", "http://0.1.2.3/", "http://[::1]/", "http://[::]/"],
    ...["http://[0:0:0:0:0:0:0:1]/", "http://[0000::1]/", "http://[::1%25eth0]/", "http://ip6-localhost/"],
    // Other ways to write it.
    ...[
      "http://2130706433/",
      "http://0x7f000001/",
      "http://0x7f.0.0.1/",
      "http://0x7f.0x0.0x0.0x1/",
      "http://017700000001/",
    ],
    ...[
      "http://0177.0.0.1/",
      "http://0177.0.0.01/",
      "http://127.1/",
      "http://127.0.1/",
      "http://0/",
      "http://127.0.0.001/",
    ],
    ...["http://1.1/", "http://3232235777/", "http://127.0.0.256/", "http://0127.0.0.1/", "http://1.2.3.4.5/"],
    ...[
      "http://%31%32%37.0.0.1/",
      "http://%6c%6f%63%61%6c%68%6f%73%74/",
      "http://127%2e0.0.1/",
      "http://localhost%00.studio.example/",
    ],
    ...[
      "http://①②⑦.⓪.⓪.①/",
      "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
      "http://127。0。0。1/",
      "http://１２７.0.0.1/",
      "http://bücher.example/",
    ],
    // Private, shared, of the link, of documents, reserved, multicast.
    ...[
      "http://10.0.0.1/",
      "http://10.255.255.255/",
      "http://172.16.0.1/",
      "http://172.31.255.255/",
      "http://192.168.0.1/",
    ],
    ...[
      "http://100.64.0.1/",
      "http://100.127.255.255/",
      "http://169.254.0.1/",
      "http://192.0.0.1/",
      "http://192.0.2.1/",
    ],
    ...[
      "http://198.18.0.1/",
      "http://198.19.255.255/",
      "http://198.51.100.1/",
      "http://203.0.113.1/",
      "http://192.88.99.1/",
    ],
    ...["http://224.0.0.1/", "http://239.255.255.255/", "http://240.0.0.1/", "http://255.255.255.255/"],
    ...[
      "http://[fe80::1]/",
      "http://[fe80::1%25en0]/",
      "http://[fc00::1]/",
      "http://[fd12:3456::1]/",
      "http://[fec0::1]/",
    ],
    ...[
      "http://[ff02::1]/",
      "http://[2001:db8::1]/",
      "http://[2001:0db8:0::1]/",
      "http://[3fff::1]/",
      "http://[3fff:0abc::1]/",
    ],
    ...[
      "http://[100::1]/",
      "http://[2001::1]/",
      "http://[2001:0:1::1]/",
      "http://[2001:10::1]/",
      "http://[2001:1ff::1]/",
    ],
    // Addresses within addresses.
    ...[
      "http://[::ffff:127.0.0.1]/",
      "http://[::ffff:7f00:1]/",
      "http://[::127.0.0.1]/",
      "http://[::ffff:0:127.0.0.1]/",
    ],
    ...[
      "http://[64:ff9b::127.0.0.1]/",
      "http://[64:ff9b::7f00:1]/",
      "http://[64:ff9b:1::7f00:1]/",
      "http://[2002:7f00:1::]/",
    ],
    ...[
      "http://[2002:a00:1::1]/",
      "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
      "http://[2606:4700::5efe:7f00:1]/",
    ],
    ...["http://[2606:4700::127.0.0.1]/", "http://[2606:4700:::1]/", "http://[2606:4700]/", "http://[12345::1]/"],
    // Metadata of clouds.
    ...[
      "http://169.254.169.254/latest/meta-data/",
      "http://[fd00:ec2::254]/",
      "http://metadata.google.internal/",
      "http://metadata/",
    ],
    ...[
      "http://100.100.100.200/",
      "http://192.0.0.192/",
      "http://168.63.129.16/",
      "http://168.63.129.16:80/x",
      "http://instance-data/",
    ],
    ...[
      "http://metadata.tencentyun.com/",
      "http://169.254.169.254.nip.io/",
      "http://2852039166/",
      "http://0xa9fea9fe/",
    ],
    // Names of private networks, and names that point there.
    ...[
      "http://router/",
      "http://nas.local/",
      "http://db.internal/",
      "http://wiki.corp/",
      "http://printer.home/",
      "http://x.lan:80/",
    ],
    ...[
      "http://router.home.arpa/",
      "http://x.intranet/",
      "http://x.test/",
      "http://x.invalid/",
      "http://x.onion/",
      "http://api.default.svc/",
    ],
    ...[
      "http://kubernetes.default.svc.cluster.local/",
      "http://host.docker.internal/",
      "http://localtest.me/",
      "http://x.lvh.me/",
    ],
    ...["http://127.0.0.1.nip.io/", "http://10-0-0-1.sslip.io/", "http://app.127.0.0.1.xip.io/"],
    // Users, and what parsers disagree on.
    ...[
      "http://user@studio.example/",
      "http://user:password@studio.example/",
      "http://studio.example@127.0.0.1/",
      "http://@studio.example/",
    ],
    ...[
      "http://127.0.0.1:80@studio.example/",
      "http://studio.example:80@127.0.0.1:8080/",
      "http://studio.example#@127.0.0.1\\",
    ],
    ...[
      "http://studio.example\\@127.0.0.1/",
      "http:\\\\127.0.0.1\\",
      "http:/\\127.0.0.1/",
      "http://127.0.0.1\\.studio.example/",
      "http://studio.example\\x",
    ],
    ...[
      "http://studio.example:0/",
      "http://studio.example:65536/",
      "http://studio.example:99999/",
      "http://studio.example:/",
      "http://studio.example:80:80/",
    ],
    ...[
      "http://studio.example:x/",
      "http://studio.example./",
      "http://.studio.example/",
      "http://studio..example/",
      "http://-studio.example/",
    ],
    ...[
      " http://studio.example/",
      "http://studio.example/ ",
      "http://studio.example /",
      "http://studio\t.example/",
      "http://studio.example/\n",
    ],
    ...[
      "http://studio.example/\r\nX-Header: y",
      "http://studio.example/%0d%0aX-Header:%20y",
      "http://studio.example/%00",
      "ht\ntp://127.0.0.1/",
    ],
    ...[
      "http://studio.example/%zz",
      "http://studio.example/%",
      "http://studio.example/<script>",
      "http://studio.example/港",
      "http://studio.example/\u202e",
    ],
    ...[
      "http://[2606:4700::1]x/",
      "http://2606:4700::1/",
      "http://[8.8.8.8]/",
      "http://[/",
      "http://]/",
      "http://[v1.x]/",
    ],
    `https://studio.example/${"x".repeat(2048)}`,
    `https://${"a".repeat(64)}.example/`,
  ])("refuses %j", (url) => {
    expect(broken({ url }).join()).toContain("string.public_url.");
  });
});

describe("media_type", () => {
  it.each(["image/png", "text/plain; charset=utf-8", "application/vnd.film+json", "Image/PNG", 'text/x;a="b c"'])(
    "allows %j",
    (mediaType) => {
      expect(broken({ mediaType })).toEqual([]);
    },
  );

  it.each([
    ...[
      "",
      "image",
      "image/",
      "/png",
      "image/png/x",
      "image /png",
      "image/*",
      "*/*",
      "image/png;",
      "image/png; a",
      "a/b;=c",
    ],
    ...[
      "image/png\r\nX: y",
      "image/png\n",
      "text/<script>",
      "text/html, image/png",
      "bild/größe",
      `image/${"x".repeat(255)}`,
    ],
  ])("refuses %j", (mediaType) => {
    expect(broken({ mediaType })).toEqual(["string.media_type"]);
  });

  it.each([
    "image/png",
    "IMAGE/png",
    "image/svg+xml",
    "image/png; x=y",
    "application/vnd.film+json",
    "application/vnd.film+json;v=1",
  ])("allows %j where it is among those of the list", (pictureType) => {
    expect(broken({ pictureType })).toEqual([]);
  });

  it.each([
    ...[
      "",
      "imag/png",
      "imagex/png",
      "image//png",
      "video/mp4",
      "ximage/png",
      "application/vndxfilm+json",
      "application/json",
    ],
    ...["application/vnd.film+jsonx", "application/vnd.film+json/x", "image", "image/", "text/html; image/png"],
  ])("refuses %j where it is none of the list", (pictureType) => {
    expect(broken({ pictureType })).toEqual(["string.media_type_in"]);
  });
});

describe("image", () => {
  const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

  it.each(["\x89PNG\r\n\x1a\n\0\0", "\xff\xd8\xff\xe0", "GIF89a", "GIF87a", "RIFF\0\0\0\0WEBPVP8L"])(
    "allows %j",
    (head) => {
      expect(broken({ image: bytes(head) })).toEqual([]);
    },
  );

  it.each(["", "PNG", "\x89PNG\n", "<svg>", "RIFF\0\0\0\0WAVE", "%PDF", "\xff\xd8", "GIF88a", " GIF89a", "MZ"])(
    "refuses %j",
    (head) => {
      expect(broken({ image: bytes(head) })).toEqual(["bytes.image"]);
    },
  );
});

describe("trajectory", () => {
  const from = { x: 0, y: 0 };

  it("allows points up to the edges of the frame", () => {
    expect(
      broken({ pixels: [from, { x: 1920, y: 1080 }], shares: [from, { x: 1, y: 1 }, { x: 0.5, y: 0.25 }] }),
    ).toEqual([]);
  });

  it.each([
    ["NaN", { x: Number.NaN, y: 0 }],
    ["no end", { x: Number.POSITIVE_INFINITY, y: 0 }],
    ["no beginning", { x: 0, y: Number.NEGATIVE_INFINITY }],
    ["left of it", { x: -0.001, y: 0 }],
    ["above it", { x: 0, y: -1 }],
    ["right of it", { x: 1920.001, y: 0 }],
    ["below it", { x: 0, y: 1081 }],
    ["NaN in y", { x: 0, y: Number.NaN }],
  ])("refuses a point outside of the frame: %s", (_, point) => {
    expect(broken({ pixels: [from, point] })).toEqual(["repeated.trajectory.frame"]);
    expect(broken({ shares: [from, { x: 1.5, y: 0 }] })).toEqual(["repeated.trajectory.frame"]);
  });

  it("refuses one point, and more than 10,000", () => {
    expect(broken({ pixels: [from] })).toEqual(["repeated.trajectory.points"]);
    expect(broken({ pixels: Array.from({ length: 10_001 }, () => from) })).toEqual(["repeated.trajectory.points"]);
  });
});

describe("all of them", () => {
  it("take time linear to their input", () => {
    const texts = [
      "<a ".repeat(30_000),
      "on".repeat(45_000),
      "java\n".repeat(19_000),
      `<a${" x".repeat(45_000)}`,
      "data:".repeat(19_000),
    ];
    const started = performance.now();
    for (const text of texts) {
      broken({ text });
      broken({ path: text.slice(0, 4000), fileName: text, url: `https://${text.slice(0, 2000)}` });
    }
    // What backtracks takes minutes for these.
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
