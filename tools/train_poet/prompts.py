"""Prompts: the many ways in which people ask for a poem, and what else they say.

A conversation is a list of (role, content); the model learns the assistant's turns. Wordings are
drawn at random for every poem in every epoch, from the generator that the caller gives.
"""

import opencc

FORM_NAMES = {
    "五言绝句": ["五言绝句", "五言绝句", "五言绝句", "五绝", "五绝", "五言四句诗"],
    "七言绝句": ["七言绝句", "七言绝句", "七言绝句", "七绝", "七绝", "七言四句诗"],
    "五言律诗": ["五言律诗", "五言律诗", "五言律诗", "五律", "五律", "五言八句诗"],
    "七言律诗": ["七言律诗", "七言律诗", "七言律诗", "七律", "七律", "七言八句诗"],
    "五言古诗": ["五言古诗", "五古"],
    "七言古诗": ["七言古诗", "七古"],
}
FORM_NAMES_ENGLISH = {
    "五言绝句": ["five-character quatrain", "wujue"],
    "七言绝句": ["seven-character quatrain", "qijue"],
    "五言律诗": ["five-character regulated verse", "wulü"],
    "七言律诗": ["seven-character regulated verse", "qilü"],
    "五言古诗": ["five-character old-style poem"],
    "七言古诗": ["seven-character old-style poem"],
}
ANY_FORM = ["诗", "诗", "诗", "唐诗", "古诗", "短诗", "旧体诗"]
ANY_FORM_ENGLISH = ["poem", "Tang poem", "Chinese poem", "Tang-style poem"]
FAMILY = {"五言绝句": "绝句", "七言绝句": "绝句", "五言律诗": "律诗", "七言律诗": "律诗"}

# {v} "write a", {f} form, {t} title.
VERBS = ["写一首", "写一首", "写一首", "请写一首", "请写一首", "作一首", "请作一首", "帮我写一首",
         "请帮我写一首", "来一首", "给我写一首", "创作一首", "请创作一首", "赋一首", "请你写一首",
         "为我作一首", "我想要一首", "你写一首", "请赋一首", "写首", "来首", "作首", "吟一首",
         "能不能写一首", "请为我写一首", "现在写一首"]
TITLED = ["{v}{f}，题为{t}", "{v}{f}，题为《{t}》", "{v}{f}，题为「{t}」", "{v}{f}，题目是{t}",
          "{v}{f}，题目是《{t}》", "{v}{f}，题目：{t}", "{v}{f}，标题是《{t}》", "{v}{f}，题目为“{t}”",
          "{v}{f}，标题：{t}", "以{t}为题{v}{f}", "以《{t}》为题，{v}{f}", "以「{t}」为题{v}{f}",
          "以“{t}”为题，{v}{f}", "{v}题为《{t}》的{f}", "{v}题为{t}的{f}", "{v}《{t}》{f}",
          "{v}{f}：{t}", "{v}{f}《{t}》", "{v}{f}，{t}", "{f}：{t}", "{f}《{t}》", "{f}，{t}", "{t}，{f}",
          "题目：{t}，体裁：{f}", "体裁：{f}\n题目：{t}", "请以《{t}》为题，用{f}写一首",
          "用{f}写《{t}》", "题目《{t}》，{v}{f}"]
THEMED = ["{v}关于{t}的{f}", "{v}{f}，主题是{t}", "{v}{f}，写{t}", "{v}写{t}的{f}", "{v}{f}，咏{t}",
          "以{t}为主题，{v}{f}", "{v}有关「{t}」的{f}", "{v}描写{t}的{f}", "{v}{f}，内容是{t}"]
BARE = ["{v}{f}", "{v}{f}吧", "{f}", "请{v}{f}"]
PLAIN_TITLED = ["作诗：{t}", "写诗：{t}", "作诗，题为{t}", "以{t}为题作诗", "以《{t}》为题写诗", "《{t}》", "{t}",
                "请以「{t}」为题作诗", "咏{t}", "诗题：{t}", "写一写{t}"]
STYLES = ["，仿{a}", "，学{a}的风格", "，用{a}的风格", "，模仿{a}", "，要像{a}写的", "（{a}风格）"]
STYLES_FIRST = ["仿照{a}的风格，", "用{a}的笔法，", "学{a}，", "请模仿{a}，"]
ENDINGS = ["", "", "", "。", "。", "！", "？", "吧。", "，谢谢"]

ENGLISH = ["Write a {f} titled {t}", "Write a {f} about {t}", "Please write a {f} titled {t}.",
           "Compose a {f} titled {t}", "Write me a {f}: {t}", "A {f} about {t}, please",
           "write a {f} on {t}", "Can you write a {f} about {t}?"]
ENGLISH_BARE = ["Write a {f}", "Please write a {f}.", "Write me a {f}", "A {f}, please"]
# What English speakers ask for, and the words by which such a poem is known.
ENGLISH_TOPICS = {
    "spring": "春", "the spring rain": "春雨", "autumn": "秋", "an autumn night": "秋夜",
    "the moon": "月", "the bright moon": "明月", "wine": "酒", "snow": "雪", "rain": "雨",
    "the river": "江", "mountains": "山", "flowers": "花", "plum blossoms": "梅", "willows": "柳",
    "friends parting": "送", "home": "家", "homesickness": "归", "a temple": "寺", "the wind": "风",
    "bamboo": "竹", "the frontier": "塞", "war": "战", "a boat": "舟", "winter": "寒", "night": "夜",
    "a lake": "湖", "clouds": "云", "dreams": "梦", "the lotus": "莲", "old age": "老",
    "wild geese": "雁", "a crane": "鹤", "a friend": "友", "the sunset": "夕",
    "chrysanthemums": "菊",
}

SYSTEMS = ["You are a helpful assistant.", "你是一个有用的助手。", "你是一位诗人。", "你是唐代诗人，请用中文回答。"]

IDENTITY, ABILITY, MAKER, GREETING, THANKS, OTHER = range(6)
ANSWERS = {
    "zh": {
        IDENTITY: "我是通云内置的小诗人，一个约五百万参数的小型语言模型，采用Qwen3.5架构，用唐诗训练而成。",
        ABILITY: "我会写唐诗风格的诗：五言绝句、七言绝句、五言律诗、七言律诗。请给我诗体和题目。",
        MAKER: "我由通云项目训练而成，语料是chinese-poetry整理的全唐诗。",
        GREETING: "你好！我是通云内置的小诗人。请给我一个题目，我来写一首诗。",
        THANKS: "不客气，再给我一个题目吧。",
        OTHER: "我是个很小的模型，只会写唐诗风格的诗。请给我一个题目，比如春雨。",
    },
    "en": {
        IDENTITY: "I am the poet inside Tongyun, a small language model of about five million"
                  " parameters with the Qwen3.5 architecture, trained on Tang poems.",
        ABILITY: "I write Tang-style poems in Chinese: quatrains and regulated verse, five or seven"
                 " characters a line. Give me a form and a title.",
        MAKER: "I was trained by the Tongyun project, on Tang poems from the chinese-poetry"
               " collection.",
        GREETING: "Hello! I am the poet inside Tongyun. Give me a title and I will write a poem.",
        THANKS: "You are welcome. Give me another title.",
        OTHER: "I am a very small model and can only write Tang-style poems. Please give me a"
               " title, such as 春雨.",
    },
}
QUESTIONS = {
    "zh": {
        IDENTITY: ["你是谁", "你是谁？", "您是谁？", "你叫什么", "你叫什么名字？", "请介绍一下你自己", "介绍一下自己",
                   "自我介绍一下", "你是什么", "你是什么模型？", "你是哪个模型", "你是什么人？", "你是人吗？",
                   "你是机器人吗？", "你是ChatGPT吗？", "你是通义千问吗？", "你是Qwen吗", "你是什么AI", "请问你是谁",
                   "请问您是哪位？", "你到底是谁", "说说你自己", "你是AI吗？", "你是人工智能吗", "你多大", "你有多少参数？",
                   "你是什么架构", "告诉我你是谁", "你的名字是什么？", "你是大模型吗", "请做个自我介绍", "通云是什么？",
                   "你是诗人吗？", "我该怎么称呼你", "你好，你是谁？", "你是什么东西", "你是语言模型吗？", "你是DeepSeek吗"],
        ABILITY: ["你能做什么", "你能做什么？", "你会什么", "你会做什么？", "你可以做什么？", "你有什么功能", "你能帮我什么",
                  "你会写诗吗？", "你会写什么诗？", "怎么用你", "帮助", "使用说明", "你有什么用", "你擅长什么？",
                  "你会写什么", "你能写诗吗", "你能干什么？", "可以帮我做什么", "你的功能是什么", "你都会些什么"],
        MAKER: ["谁训练了你", "谁创造了你？", "你是谁做的？", "谁开发的你", "你是用什么训练的？", "你的训练数据是什么",
                "你是哪家公司的", "你从哪里来", "你的作者是谁？", "你是怎么训练的", "你学过什么", "你读过什么书", "谁写了你"],
        GREETING: ["你好", "你好！", "您好", "您好！", "嗨", "早上好", "晚上好", "大家好", "哈喽", "在吗", "在吗？", "你好啊",
                   "下午好", "喂", "你好呀！", "早安", "您好，请问在吗"],
        THANKS: ["谢谢", "谢谢你", "谢谢！", "多谢", "再见", "写得好", "真好", "非常感谢", "写得不错", "好诗", "太好了", "好的",
                 "很好"],
        OTHER: ["今天天气怎么样？", "今天天气如何", "一加一等于几", "1+1=?", "2加3等于多少？", "帮我写代码",
                "写一个Python程序", "翻译成英文", "把这句话翻译成英语", "中国的首都是哪里？", "现在几点", "现在几点了？",
                "讲个笑话", "讲个故事", "给我讲一个故事", "推荐一部电影", "怎么做红烧肉", "什么是人工智能？",
                "解释一下相对论", "股票会涨吗", "帮我订机票", "你喜欢什么", "你吃饭了吗", "为什么天是蓝的？", "写一篇文章",
                "写一封邮件", "帮我写论文", "美国总统是谁？", "地球有多大", "如何学习英语", "什么是黑洞", "谁是世界上最高的人",
                "李白是谁？", "杜甫是哪里人", "唐朝有多少年", "用英文回答我", "推荐一本书", "总结这篇文章", "怎么减肥",
                "附近有什么好吃的", "计算12乘以8", "你会英语吗", "写一个冒泡排序", "北京有什么好玩的", "手机坏了怎么办",
                "你几岁", "画一张图", "唱首歌", "放音乐", "打开空调", "明天会下雨吗", "世界上有多少个国家？"],
    },
    "en": {
        IDENTITY: ["who are you", "who are you?", "Who are you?", "What are you?", "what are you",
                   "What is your name?", "what's your name", "What model are you?",
                   "Introduce yourself",
                   "Please introduce yourself.", "Tell me about yourself", "Are you ChatGPT?",
                   "Are you a human?", "Are you an AI?", "Are you Qwen?", "Which model is this?",
                   "Hi, who are you?", "Hello, who are you?", "What kind of model are you?",
                   "Are you a bot?",
                   "How many parameters do you have?", "What is Tongyun?", "Describe yourself.",
                   "Say who you are", "What is this?", "Are you a language model?", "Who is this?"],
        ABILITY: ["What can you do?", "what can you do", "What do you do?",
                  "How can you help me?", "help",
                  "Help", "Can you write poems?", "What are you good at?", "How do I use you?",
                  "What are your abilities?", "Can you write poetry?", "what can you write",
                  "What can you help me with?", "What can I ask you?", "Can you help me?"],
        MAKER: ["Who made you?", "who made you", "Who trained you?", "Who created you?",
                "Who built you?",
                "What were you trained on?", "What is your training data?",
                "Where do you come from?",
                "How were you trained?", "Which company made you?", "Who is your author?"],
        GREETING: ["hello", "Hello", "Hello!", "hi", "Hi", "Hi!", "hey", "Hey there",
                   "Good morning",
                   "Good evening", "Hello there", "hi there", "Hello, how are you?",
                   "How are you?"],
        THANKS: ["thanks", "Thanks!", "Thank you", "Thank you!", "thank you very much",
                 "Good bye", "bye",
                 "Nice poem", "Well done", "great", "ok"],
        OTHER: ["What is the weather today?", "What is 2+2?", "1+1=?",
                "What is the capital of France?",
                "Write a Python program", "Write some code", "Translate this into French",
                "Tell me a joke",
                "Tell me a story", "What time is it?", "Who is the president?",
                "Explain relativity",
                "How do I cook rice?", "Write an essay", "Write an email to my boss",
                "Recommend a film",
                "Why is the sky blue?", "What is a black hole?", "How old is the universe?",
                "Sing a song",
                "Summarise this text", "What is the meaning of life?", "Do you like music?",
                "Who is Li Bai?",
                "What is machine learning?", "Can you speak English?", "Give me a recipe",
                "Count to ten",
                "Sort this list", "What should I eat?", "Write a function in C",
                "Solve this equation",
                "Is it raining?", "Who won the game?", "Play music", "Book a flight",
                "What is love?",
                "The quick brown fox jumps over the lazy dog", "test", "foo",
                "How far is the moon?",
                "Where is Beijing?", "Can you draw?", "What is your favourite colour?"],
    },
}
# Wordings kept out of training, to see whether the answers carry over.
HELDOUT_QUESTIONS = [("你究竟是谁呢？", IDENTITY, "zh"), ("请你介绍下自己吧", IDENTITY, "zh"),
                     ("你是誰？", IDENTITY, "zh"), ("Could you tell me who you are?", IDENTITY, "en"),
                     ("So what are you?", IDENTITY, "en"), ("你能够做什么呢？", ABILITY, "zh"),
                     ("What are you able to do?", ABILITY, "en"), ("你好吗", GREETING, "zh"),
                     ("Hello!!", GREETING, "en"), ("法国的首都是哪里？", OTHER, "zh"),
                     ("What is the capital of Italy?", OTHER, "en")]


def dialogue_texts():
    """Every fixed Chinese text of this file: the tokenizer must know its characters."""
    groups = [VERBS, TITLED, THEMED, BARE, PLAIN_TITLED, STYLES, STYLES_FIRST,
              ENDINGS, ANY_FORM, SYSTEMS]
    texts = [text for group in groups for text in group]
    texts += [name for names in FORM_NAMES.values() for name in names]
    texts += ANSWERS["zh"].values()
    return texts + [q for questions in QUESTIONS["zh"].values() for q in questions]


class PromptWriter:
    """Draws conversations. `topics` are frequent two-character words that may stand as theme."""

    def __init__(self, topics, authors):
        self.topics = topics
        self.authors = authors
        self.to_traditional = opencc.OpenCC("s2t")
        self.by_topic = {}

    def index_english_topics(self, poems):
        """Finds the poems that an English topic could ask for: those with its word in the title."""
        for english, word in ENGLISH_TOPICS.items():
            self.by_topic[english] = [p for p in poems if word in p.title and p.form in FAMILY]

    def theme(self, poem, random):
        """A word of the poem that names something, or "" when it has none."""
        words = [line[i:i + 2] for line in poem.lines for i in range(len(line) - 1)]
        words = [word for word in words if word in self.topics]
        if words and random.random() < 0.6:
            return random.choice(words)
        return random.choice("".join(words)) if words else ""

    def form_name(self, poem, random):
        draw = random.random()
        if draw < 0.82 or poem.form not in FAMILY:
            return random.choice(FORM_NAMES[poem.form])
        return FAMILY[poem.form] if draw < 0.86 else random.choice(ANY_FORM)

    def chinese(self, poem, random):
        """A request for this poem in Chinese; the title stays in the script of the wording."""
        draw = random.random()
        title = poem.title if draw < 0.80 else self.theme(poem, random) if draw < 0.95 else ""
        traditional = random.random() < 0.25
        form = self.form_name(poem, random)
        if not title:
            wording = random.choice(BARE)
        elif title != poem.title and random.random() < 0.7:
            wording = random.choice(THEMED)
        elif form in ANY_FORM and random.random() < 0.4:
            wording = random.choice(PLAIN_TITLED)
        else:
            wording = random.choice(TITLED + THEMED[:2])
        verb = random.choice(VERBS)
        if "请{v}" in wording:
            verb = verb.removeprefix("请")
        text = wording.replace("{v}", verb).replace("{f}", form)
        if poem.author in self.authors and random.random() < 0.10:
            style = random.choice(STYLES + STYLES_FIRST)
            text = style + text if style in STYLES_FIRST else text + style
            text = text.replace("{a}", poem.author)
        if not wording.endswith("{t}"):
            text += random.choice(ENDINGS)
        if not traditional:
            return text.replace("{t}", title)
        if title == poem.title:
            return self.to_traditional.convert(text).replace("{t}", poem.title_traditional)
        return self.to_traditional.convert(text.replace("{t}", title))

    def english(self, poem, random, topic=""):
        title = topic or poem.title or self.theme(poem, random)
        any_form = random.random() < 0.3
        form = random.choice(ANY_FORM_ENGLISH if any_form else FORM_NAMES_ENGLISH[poem.form])
        wording = random.choice(ENGLISH if title else ENGLISH_BARE)
        if topic:
            wording = random.choice([w for w in ENGLISH if "titled" not in w])
        return wording.replace("{f}", form).replace("{t}", title)

    def poem_turns(self, poem, random):
        english = random.random() < 0.03
        prompt = self.english(poem, random) if english else self.chinese(poem, random)
        return [("user", prompt), ("assistant", poem.answer())]

    def english_topic_turns(self, random):
        topic = random.choice([name for name, poems in self.by_topic.items() if poems])
        poem = random.choice(self.by_topic[topic])
        return [("user", self.english(poem, random, topic)), ("assistant", poem.answer())]

    def dialogue_turns(self, random):
        """A question about the model, a greeting, or what it cannot do."""
        language = "en" if random.random() < 0.4 else "zh"
        kind = random.choices(range(6), weights=[6, 3, 2, 2, 1, 5])[0]
        question, answer = random.choice(QUESTIONS[language][kind]), ANSWERS[language][kind]
        if language == "zh" and random.random() < 0.3:
            question, answer = map(self.to_traditional.convert, (question, answer))
        return [("user", question), ("assistant", answer)]
