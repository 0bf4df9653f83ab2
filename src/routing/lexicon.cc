#include "routing/lexicon.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace gbgreg::routing {
namespace {

constexpr Words kWords[] = {
    // ---- Computing: words that hardly occur elsewhere.
    {Sign::tech_strong, 0.75F, 0.75F,
     "javascript|typescript|js|python|pytorch|tensorflow|numpy|pandas|dataframe*|matplotlib|sklearn|scikit|django|"
     "flask|"
     "fastapi|sqlalchemy|c++|c#|.net|cpp|golang|rustc|cargo|kotlin|php|laravel|perl|haskell|powershell|bash|zsh|html*|"
     "css|"
     "sass|xml|json|yaml|toml|csv|regex*|regexp*|sql|mysql|postgres*|sqlite|mongodb|redis|kafka|graphql|nosql|nginx|"
     "apache|"
     "docker*|kubernetes|kubectl|k8s|helm|terraform|ansible|jenkins|github|gitlab|git|npm|yarn|webpack|vite|node.js|"
     "nodejs|"
     "react|vue|svelte|angular|jquery|ecmascript|wordpress|linux|ubuntu|debian|unix|systemd|ssh|sftp|cron|crontab|vim|"
     "emacs|"
     "vscode|valgrind|gdb|gcc|clang|cmake|makefile*|llvm|cuda|opengl|ffmpeg|curl|wget|grep|awk|sed|chmod|tar|jq|"
     "iptables|"
     "stackoverflow|leetcode|hackerrank|async|await|coroutine*|mutex*|deadlock*|segfault*|nullpointer*|stacktrace|"
     "refactor*|subnet*|localhost|http|https|tcp|udp|dns|dhcp|tls|ssl|cors|jwt|oauth|api|apis|rest "
     "api|webhook*|middleware|"
     "microservice*|backend|frontend|front-end|back-end|fullstack|devops|ci/"
     "cd|compiler*|linker|bytecode|opcode*|assembler|"
     "boolean|enum|struct|typedef|lambda|iterator*|linked list|binary tree|hashmap|hash "
     "table|arraylist|linkedlist|tuple|"
     "tuples|int|strlen|stdin|stdout|stderr|printf|malloc|println|console.log|localstorage|sessionstorage|flexbox|"
     "srcset|"
     "doctype|xhtml|foreign key*|primary key|left join|inner join|group by|order by|where id|select count|insert "
     "into|create table|alter table|stored procedure*|merge sort|bubble sort|"
     "quicksort|binary search|big o|unit test*|pytest|junit|selenium|cocotb|verilog|vhdl|fpga|arduino|esp32|firmware|"
     "raspberry pi os|excel formula*|vlookup|google "
     "sheets|vba|latex|graphviz|matlab|simulink|jupyter|huggingface|hugging "
     "face|transformers.js|fine-tun*|finetun*|llm|llms|gan|lstm|cnn|backprop*|deep learning|machine learning|neural "
     "net*|"
     "write a function|write a program|write code|write some code|create a function|shell script|"
     "write a python|write a java|write a "
     "query|programming|programmer*|programmiersprache*|programmation|programação|программирован*|программ*|pull "
     "request*|"
     "merge conflict*|git pull|git push|git commit|rebase|exif|utf-8|ascii|base64|sha256|md5|mime|tdd|orm|sdk|cli|tui|"
     "command line|terminal command*|shell script*|chrome extension|chrome plugin|source code|open source|codebase|"
     "web app*|website code|landing page|pseudo-*|divs|stylesheet*|viewport|unicode|hexadecimal|floating point|"
     "garbage collector|memory leak*|heap|pointer*|recursion|recursive*|algorithm*|algoritmo*|algorithme*|алгоритм*|"
     "debug*|compile*|deploy*|runtime|kernel|daemon|hypervisor|virtual machine|vpn|router "
     "config*|vlan|smtp|imap|telnet|"
     "geotiff|geospatial|shapefile|qgis|ios app|android app|android studio|xcode|swiftui|flutter|react native|unity3d|"
     "unreal engine|blender script|shader*|glsl|wasm|webassembly|spreadsheet formula|crud|saas|uuid|etl pipeline|"
     "javascript*|питон*|скрипт*|скрипт|сервер*|код|коде|фреймворк*|сайт*|parsing|parser*|serialize*|deserialize*|"
     "파이썬|자바스크립트|리액트|도커|쿼리|컴파일|알고리즘|깃허브|스프링|"
     "代码|编程|程序员面试|函数|正则|数据库|服务器|前端|后端|算法|编译|脚本|变量|接口|线程|进程|端口|容器|部署|爬虫|"
     "报错|"
     "コード|関数|配列|プログラム|データベース|サーバー|スクリプト|正規表現|変数|リスト|データフレーム|文字列|"
     "オブジェクト|コンパイル|クエリ|"
     "โค้ด|โปรแกรม|جافا|بايثون|برمج*|कोड|पायथन|কোড|código|codigo|programmieren|programmcode|funktionsaufruf|"
     "script bash|bash script|programmer en|programmazione|videojuego|motor de juego|logiciel libre"},
    // Words that also occur elsewhere: two or three of them make a case.
    {Sign::tech_weak, 0.45F, 0.4F,
     "code|codes|coding|coded|coder|function|functions|method|class|object|objects|array|arrays|string|strings|integer|"
     "integers|matrix|vector|vectors|list|lists|dictionary|dictionaries|loop|loops|variable|variables|argument|"
     "arguments|"
     "parameter|parameters|return|returns|returned|input|output|print|prints|file|files|folder*|directory|directories|"
     "path|"
     "script|scripting|program|programs|software|app|application|server|servers|database*|table|tables|column|columns|"
     "row|"
     "rows|query|queries|schema|index|key|keys|value|values|token|tokens|cache*|cookie|cookies|session|browser*|"
     "website*|"
     "web "
     "page*|webpage*|web|url|urls|link|domain|network|port|ports|proxy|firewall|site|sites|sitios|stylesheet|svg|svgs|"
     "rendering|cluster|container*|image tag|pod|node|"
     "nodes|cloud|aws|azure|gcp|s3|lambda "
     "function|command|commands|terminal|shell|console|process|processes|thread|threads|"
     "memory|cpu|gpu|ram|disk|filesystem|file system|permission*|config*|install*|package|packages|library|libraries|"
     "framework*|module|modules|import|imports|plugin*|extension|version|versions|upgrade|update|branch|commit|repo|"
     "repository|merge|error|errors|exception*|warning*|bug|bugs|fix|crash*|fails|failed|failing|broken|log|logs|"
     "logging|"
     "test|tests|mock|sort|sorted|filter|parse|convert|encode|decode|encrypt*|hash*|binary|bit|bits|byte|bytes|char|"
     "character|characters|null|none|nan|undefined|true|false|java|rust|swift|ruby|scala|go|excel|spreadsheet*|sheet|"
     "worksheet|cell|cells|formula*|macro|data|dataset*|data set|json file|model|training|plot|histogram|chart|pixel*|"
     "button|div|elements|attribute*|tag|tags|font|layout|responsive|mobile app|interface|ui|ux|http request|"
     "request|requests|response|endpoint*|authentication|login|password|user "
     "input|bot|chatbot|ai|windows|macos|android|"
     "iphone|laptop|keyboard|driver|usb|wifi|router|computer|computers|hardware|processor|architecture|pipeline|"
     "deployment|"
     "production|staging|replica*|lock|queue|stack|tree|graph|subsequence|substring|palindrom*|prime|fibonacci|"
     "sequence|n x n|implement*|template|templates|syntax|compute|tool|tools|"
     "función|funcion|funciones|cadena|cadenas|lista|listas|diccionario|archivo|archivos|fichero*|directorio|matriz|"
     "vectores|tupla*|base de datos|columna*|fila|filas|servidor|tabla|sitio web|página web|pagina web|clase|objeto*|"
     "binario|computadora|ordenador|"
     "fonction|fonctions|fichier*|tableau|chaîne|chaine|dictionnaire|serveur|base de données|colonne*|ligne|lignes|"
     "logiciel*|site|site web|page web|navigateur|langage|paquet|packages|processus|paramètre*|"
     "funktion|datei|dateien|zeile*|spalte*|liste|verzeichnis|datenbank|server|zeichenkette|skript|fehler|anwendung|"
     "funzione|stringa|elenco|tabella|riga|colonna|função|arquivo*|linha*|coluna*|tabela|lista|"
     "функци*|файл*|строк*|списк*|список|массив*|таблиц*|баз* данных|колонк*|столбец|матриц*|словар*|ошибк*|прототип*|"
     "файл*|функці*|рядк*|масив*|консол*|елемент*|bestand*|bestanden|fil|filer|listan|sorgu|dosya*|klasör*|"
     "plik*|zapytani*|tabel*|funkcj*|"
     "함수|코드|서버|데이터|파일|리스트|딕셔너리|배열|변수|에러|오류|"
     "程序|文件|数组|列表|字符串|字典|表格中|系统|架构|网页|网站|浏览器|软件|命令|终端|输出是什么|数据|查询|内存|"
     "ファイル|リスト|辞書|行を|列を|出力|テーブル|値を|要素|データ|取得する|表示する|エラー|"
     "फ़ाइल|file ko|ব্রাউজার|ไฟล์|ملف|قائمة|الفرق بين الواجهة"},

    // ---- Text as the product.
    {Sign::write_act, 0.8F, 0.4F,
     "write a|write an|write me|write some|write the|write about|write down|write "
     "in|write|writing|draft|compose|rewrite|"
     "reword|rephrase|paraphrase*|summarise|summarize|summary of|translate|translation of|proofread|edit the|edit this|"
     "edit my|turn this into|turn that into|turn these|make this sound|more formal|more polite|polish|shorten|expand "
     "on|"
     "elaborate|brainstorm|come up with|invent|imagine|describe|narrate|outline|formulate|extract*|prepare a|"
     "create a story|create a plan|paint me|role-play|roleplay|pretend you|act as|you are a|you are an|as a|"
     "structure a|develop a|make a list of the|make a very|generate a|generate some|produce a|"
     "escribe|escríbeme|escribeme|redacta|resume|resumir|resumen|traduce|traducir|corrige|crea un cuento|inventa|hazme|"
     "écris|ecris|écrivez|rédige|redige|rédigez|résume|resume|résumez|traduis|traduire|traduisez|reformule*|paraphrase*"
     "|"
     "corrige|propose|proposez|imagine|raconte*|donne une description|"
     "schreib*|verfasse*|übersetz*|fasse*|zusammenfass*|formuliere*|entwirf|erzähl*|"
     "scrivi|scrivere|traduci|riassumi|escreva|escreve|traduza|resuma|redija|"
     "schrijf|vertaal|vat samen|skriv|översätt|sammanfatta|napisz|przetłumacz|streść|napiš|přelož|"
     "напиши*|напишите|переведи*|перефразируй*|сочини*|придумай*|составь*|переделать*|сократи*|опиши*|резюмируй*|"
     "написать|перескажи*|напиши|опиши|придумати|перекладіть|переклади|kirjoita|scrie|traduce|tulis|tuliskan|buatkan|"
     "viết|dịch|tóm tắt|tạo cho|"
     "写一|写一篇|写个|撰写|帮我写|翻译|总结|摘要|改写|润色|起草|编写一|创作|扩写|缩写|代写|编辑|提取|描绘|描述|充当|"
     "扮演|担任|"
     "اكتب|ترجم|لخص|เขียน|แปล|สรุป|כתוב|תרגם|γράψε|بنویس|ترجمه"},
    // Where the verb stands last, its place in the sentence says nothing.
    {Sign::write_act, 0.8F, 0.8F,
     "yaz|yazar mısın|yazın|çevir|özetle|लिखो|लिखें|लिखिए|अनुवाद|लिख दो|লেখ*|লিখ*|অনুবাদ|써 줘|써줘|작성|번역|요약|적어 "
     "줘|적어줘|"
     "지어|書いて|翻訳|要約|言い換え|まとめて|作成して|訳して|எழுது*"},
    {Sign::text_form, 0.5F, 0.5F,
     "story|stories|tale|poem|poems|haiku|limerick|sonnet|song|songs|lyrics|essay|essays|article|articles|blog|"
     "blog "
     "post|newsletter|speech|toast|letter|letters|email|e-mail|mail|memo|report|review|reviews|paragraph|paragraphs|"
     "chapter|novel|novella|plot|scene|dialogue|screenplay|movie script|podcast|youtube video|script about|"
     "script for|caption|captions|tagline*|slogan*|headline*|biography|bio|cover letter|resume|cv|proposal|business "
     "plan|"
     "marketing|strategy|strategies|press release|announcement|advert*|ad copy|product "
     "description|itinerary|recipe|recipes|"
     "lesson plan|syllabus|curriculum|questionnaire|survey|thesis|abstract|introduction|conclusion|literature|passage|"
     "text|sentence|sentences|words|word count|tweet*|linkedin|instagram|invitation|card text|thank-you|farewell|"
     "eulogy|obituary|joke|jokes|debate|argumentative|analysis|guide|overview|"
     "cuento|historia|poema|canción|ensayo|carta|correo|artículo|articulo|informe|texto|discurso|frases|"
     "histoire|poème|chanson|essai|lettre|courriel|article|texte|discours|dissertation|paragraphe|phrases|conte|"
     "geschichte*|gedicht*|aufsatz|brief|artikel|rede|bericht|einladung|absatz|sätze|wörter*|"
     "storia|poesia|canzone|lettera|articolo|racconto|história|poema|carta|artigo|redação|"
     "verhaal|gedicht*|brief|*gedicht|berättelse|dikt|opowiadanie|wiersz|list do|zaproszenie|báseň|dopis|hikaye|şiir|"
     "рассказ*|стих*|песн*|эссе|письм*|стать*|сочинени*|текст*|поздравлени*|сценари*|вірш*|лист|"
     "bài văn|bài thơ|câu chuyện|cerita|puisi|surat|tarina|runo|"
     "이야기|시를|노래|편지|이메일|글을|문장|에세이|소설|보고서|"
     "故事|诗|歌词|文章|作文|信|邮件|报告|论文|小说|段落|评论|演讲|致辞|文案|剧本|方案|简历|教案|书评|句子|文本|字左右|"
     "以内|"
     "攻略|策略|祝福|评语|报道|散文|标题|提示|建议|"
     "物語|詩|歌詞|文章|手紙|メール|作文|小説|レポート|俳句|スピーチ|次の文|"
     "قصة|قصيدة|اغنية|أغنية|رسالة|مقال|कहानी|कविता|पत्र|निबंध|গল্প|কবিতা|চিঠি|นิทาน|เรื่อง|บทความ|สุนทรพจน์|סיפור|שיר|داستان|"
     "شعر|نامه"},

    // ---- Explaining and reasoning.
    {Sign::explain_act, 0.7F, 0.35F,
     "explain*|discuss*|compare*|contrast|analyse*|analyze*|evaluate*|assess|argue|justify|critique|why|what if|"
     "how did|how does|how were|how was|how do you think|what are the|what would happen|what are some|what is the role|"
     "what impact|how has|how have|describe how|explore|examine|investigate|reflect|pros and cons|advantages|"
     "disadvantages|implications|consequences|causes|effects of|impact of|difference between|differences between|"
     "relationship between|in what ways|to what extent|should we|do we have|is it more important|provide an example|"
     "critical*|ethical|ethics|moral|society|history of|theory|philosoph*|"
     "explica*|compara*|analiza*|por qué|por que|cuáles son|describe|discut*|ventajas|qué impacto|cómo funciona|"
     "explique*|expliquez|comparez|compare|analyse*|pourquoi|comment les|quels sont|quelles "
     "sont|décri*|décrivez|avantages|"
     "quels avantages|erklär*|vergleich*|analysier*|warum|wieso|weshalb|welche vorteile|beschreib*|diskutier*|"
     "spiega*|confronta|perché|analizza|quali sono|explique|por que|leg uit|uitleggen|waarom|vergelijk|förklara|varför|"
     "jämför|wyjaśnij|dlaczego|porównaj|vysvětli|proč|açıkla|neden|karşılaştır|"
     "объясни*|почему|сравни*|расскажи*|поясни*|какие|зачем|чому|поясніть|порівняй*|jelaskan|mengapa|giải thích|tại "
     "sao|"
     "selitä|miksi|explică|de ce|εξήγησε|γιατί|"
     "설명|비교|분석|이유|왜|"
     "解释|为什么|分析|比较|讨论|如何看待|说明|谈谈|阐述|介绍|区别|探讨|评价|是否同意|影响|"
     "説明|なぜ|比較|分析|違い|教えてください|理由|"
     "اشرح|لماذا|قارن|समझा*|व्याख्या|क्यों|ব্যাখ্যা|কেন|อธิบาย|ทำไม|הסבר|למה|توضیح|چرا"},
    {Sign::reason_act, 0.7F, 0.5F,
     "prove|proof|show that|derive*|solve|calculate*|compute the|find the value|simplify|integrate|integral|"
     "differentiate|derivative|equation*|theorem|step by step|show your work*|show your steps|logically|syllogism|"
     "deductive|probability|how much did|how many more|how much more|how many did|how much money|in total|altogether|"
     "at the end of|per hour|per day|per meter|each cost|left over|are left|does he|does she|did he|did she|how old|"
     "triangle|hexagon|perimeter|velocity|acceleration|m/s|kg|km/h|calculus|infinitesimal*|polynomial*|factor of|"
     "premise*|riddle|puzzle|"
     "resuelve|calcula|demuestra|ecuación|ecuacion|paso a paso|résou*|calcule*|démontre*|équation|étapes|"
     "löse|berechne|beweise|gleichung|schritt für schritt|risolvi|resolva|реши*|вычисли*|докажи*|уравнени*|интеграл*|"
     "풀어|계산|증명|"
     "证明|解方程|计算|求|方程|概率|利息|多少元|应得|推理|步骤|"
     "解いて|計算|証明|方程式"},
    {Sign::pick_act, 0.7F, 0.3F,
     "classify|categorize|categorise|label the|suggest|recommend|name a|name some|give me a list|give me the|give me "
     "some|"
     "list of|list some|add things|enter the words|define|definition of|synonym*|antonym*|plural|spell|rhymes with|"
     "convert|tell me if|answer yes or no|yes or no|pick|choose|flip a|roll a|roll of|throw a|random number|guess|"
     "using the|in this task|what are some good|what are good|"
     "dame una lista|recomienda*|clasifica*|convierte|trie|classe*|convertis|donne-moi|donnes moi|"
     "分类|推荐|筛选|列出|猜|给出|"
     "분류|추천|おすすめ|分類"},

    // ---- Talk.
    {Sign::greeting, 0.9F, 0.25F,
     "hi|hey|hello|hello there|good morning|good afternoon|good evening|good night|good day|howdy|greetings|yo|sup|"
     "what's up|whats up|how are you|how r u|how is it going|how's it going|nice to meet|pleased to meet|"
     "hola|buenos días|buenos dias|buenas tardes|buenas noches|qué tal|que tal|cómo estás|como estas|un placer|"
     "bonjour|bonsoir|salut|coucou|ça va|comment vas-tu|comment allez-vous|"
     "hallo|guten morgen|guten tag|guten abend|wie geht*|schön dich|moin|servus|"
     "ciao|buongiorno|buonasera|come stai|mi senti|olá|ola|oi|bom dia|boa tarde|boa noite|tudo bem|como vai|"
     "goedemorgen|goedemiddag|goedenavond|hoi|hoe gaat het|hej|hejsan|god morgon|tjena|hur mår|hur står det|hei|moi|"
     "cześć|dzień dobry|jak się masz|ahoj|dobrý den|merhaba|selam|günaydın|nasılsın|napıyor*|napıyos*|"
     "привет*|здравствуй*|добрый день|доброе утро|добрый вечер|как дела|привіт|добрий день|як справи|а ти як|"
     "hai|halo|selamat pagi|apa kabar|xin chào|chào|salut|bună|szia|γεια|hyvää huomenta|"
     "안녕|잘 지내|반가워|你好|您好|早上好|晚上好|在吗|怎么了|こんにちは|おはよう|こんばんは|元気|はじめまして|"
     "مرحبا|السلام عليكم|أهلا|كيف حالك|सलाम|नमस्ते|नमस्कार|कैसे हो|হাই|হ্যালো|কেমন আছ|কি খবর|สวัสดี|หวัดดี|ว่าไง|เป็นไง|ดีจ้า|"
     "שלום|מה שלומך|מה נשמע|سلام|வணக்கம்|எப்படி இருக்*"},
    {Sign::thanks, 0.9F, 0.15F,
     "thanks|thank you|thx|ty|cheers|bye|goodbye|see you|good "
     "bye|ok|okay|yes|no|yep|nope|sure|great|nice|perfect|awesome|"
     "cool|got it|never mind|nevermind|sorry|that's correct|that's right|that's wrong|you are wrong|you're the best|"
     "please stop|shut up|lol|haha*|wish me luck|i agree|i'm bored|that works|that worked|typo|test|possibly|maybe|"
     "gracias|adiós|hasta luego|vale|sí|merci|au revoir|d'accord|oui|non|rien|danke*|tschüss|bis morgen|ja|nein|"
     "grazie|arrivederci|obrigad*|tchau|bedankt|dank je|tack|hej då|dziękuję|dzięki|díky|děkuji|teşekkür*|sağ ol|"
     "спасибо|пока|да|нет|дякую|terima kasih|cảm ơn|kiitos|mulțumesc|köszönöm|"
     "고마워|감사|谢谢|再见|好的|ありがとう|さようなら|はい|いいえ|شكرا|धन्यवाद|ধন্যবাদ|ขอบคุณ|תודה|ممنون|நன்றி"},
    {Sign::personal, 0.7F, 0.4F,
     "your name|are you|do you like|do you know|do you have|do you make|do you think|can you help me|can you hear|who "
     "are "
     "you|what are you|who made you|you like|you read|you speak|you do|talk to you|call you|you are|you're|you can't|"
     "you don't|have you ever|have you|did you|could you be|your favorite|your favourite|i like|i think|i was thinking|"
     "i feel|i am bored|let's|tell me a joke|tell me about yourself|what languages do you|"
     "eres|te llamas|tienes|has hecho|tu nombre|es-tu|tu es|t'appelles|as-tu|j'aimerais que tu me|bist du|hast "
     "du|kannst du|"
     "magst du|sei|puoi|você|vocês|misin|mısın|musun|düşünüyorsun|gillar du|är du|kan du|ben je|heb je|jesteś|jsi|"
     "ты|тебя|тебе|твоя|твой|ти|тебе|твоя|kamu|anda|bạn|"
     "너|니|네|你是|你叫|你有|你会|あなた|君は|きみ|ロボット|"
     "तुम|आप|তুমি|คุณ|אתה|تو|تا حالا|நீங்கள்|robot"},
    {Sign::errand, 0.75F, 0.55F,
     "remind me|set an alarm|set alarm|set timer|set a timer|alarm|alarms|timer|reminder|calendar|schedule "
     "a|appointment|"
     "reservation*|reserve|book a|order checks|order some|my card|credit card|debit card|my account*|my bank|bank "
     "account*|my credit|my bill|my balance|my paycheck|my pto|pto|vacation request|w2|401k|apr|routing number|my "
     "flight|"
     "luggage|my car|oil change|tire pressure|gas station|near me|nearest|my location|location with|playlist|play some|"
     "play the|play my|turn on|turn off|turn up|volume|call me|text message|send a text|reset to factory|my phone|"
     "my current|the weather|weather|what time is it|today's date|my emails|to-do list|todo list|shopping "
     "list|insurance|"
     "transaction|transfer|traveling to|pay the|bill due|interest rate|rewards|points|i'd like a|i would like a|i want "
     "to play|"
     "speak faster|speak slower|speak louder|the female voice|change your|"
     "recuérdame|alarma|tiempo hace|rappelle-moi|réveil|quelle heure|météo|erinnere mich|wecker|wetter|wie spät|"
     "che ore sono|tempo fa|que horas|hoe laat|påminn|vad är klockan|hatırlat|saat kaç|hava|напомни*|будильник|погод*|"
     "который час|jam berapa|mấy giờ|kello|날씨|알람|몇 시|天气|闹钟|提醒我|几点|天気|アラーム|何時"},

    // ---- Questions.
    {Sign::fact_question, 0.75F, 0.2F,
     "who|who's|whom|whose|when|where|where's|what is the|what's the|what is a|what is|what's|what does the|what year|"
     "what day|what was|what were|what colour|what color|what time|which|which one|which country|how many|how much|how "
     "far|"
     "how long|how tall|how old is|how big|how high|is it|is the|is there|is swift|are there|does|did|can i|can "
     "you|might|"
     "what peruvian|what taxes|how do you spell|how do you say|capital of|population of|tell me what|"
     "i need to know|i want to know|do you know what|let me know|tell me the|tell me my|tell me how the|"
     "quién|quien|cuándo|cuando fue|dónde|donde|cuál es|cual es|qué es|que es|qué día|cuánto*|cuanto*|en qué|en cuál|"
     "qui est|qui était|quand|où|quel est|quelle est|quelle sont|quel|quelle|qu'est-ce|combien|en quelle|question :|"
     "wer|wann|wo|was ist|wie viel*|wieviel*|welche* stadt|wie heißt|wie sagt|wie hoch|wie weit|"
     "chi|quando|dove|qual è|quanto|quanti|cos'è|quem|onde|o que é|quanto|quantos|"
     "wie is|wanneer|waar|wat is|hoeveel|vem|när|var|vad är|hur många|vilket|vilken|kto|kiedy|gdzie|jaka jest|ile|co "
     "to|"
     "kdo|kdy|kde|kolik|kim|ne zaman|nerede|kaç|nedir|"
     "кто|когда|где|сколько|что такое|скільки|хто|коли|де|що таке|якою|siapa|kapan|di mana|berapa|apa itu|ai là|là "
     "gì|khi nào|ở "
     "đâu|bao nhiêu|"
     "누구|언제|어디|몇|뭐니|뭐야|무엇|谁|什么时候|哪里|哪个|多少|几|多远|是什么|主演|首都|誰|いつ|どこ|何ですか|"
     "いくつ|とは何|"
     "من هو|متى|أين|كم|ما هي|ما هو|कौन|कब|कहाँ|कितन*|क्या है|কে|কখন|কোথায়|কত|ใคร|เมื่อไ|ที่ไหน|กี่|อะไร|מי|מתי|איפה|כמה|"
     "کیست|کیه|چیست|کی|کجا|πόσες|πότε|πού|ποιος|milloin|missä|paljonko"},
    {Sign::how_question, 0.7F, 0.3F,
     "how do i|how to|how can i|how should i|how would i|how would you|how can you|how do you|how i can|is there a way|"
     "what's the best way|what is the best way|what should i|why is my|why does my|why do i|how "
     "come|cómo|como|comment|wie "
     "kann ich|wie mache|wie bekomme|come posso|come faccio|como faço|como posso|hoe kan ik|hur gör|hur kan "
     "jag|jak|nasıl|"
     "как|як|bagaimana|làm thế nào|làm "
     "sao|방법|어떻게|如何|怎么|怎样|どうやって|どのように|方法|कैसे|কিভাবে|ยังไง|อย่างไร|איך|چطور|"
     "چگونه|كيف|πώς|miten"},
};

// Whether a term may begin anywhere: scripts that do not put spaces between words, and Korean, which glues endings on.
bool is_unspaced(std::string_view text) {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U; };
  if (byte(0) < 0xE0) return false;
  if (byte(0) == 0xE0) return byte(1) == 0xB8 || byte(1) == 0xB9;  // Thai.
  if (byte(0) == 0xE1) return byte(1) >= 0x84 && byte(1) <= 0x87;  // Hangul letters.
  return byte(0) >= 0xE3 && byte(0) <= 0xED;                       // Kana, Han, Hangul.
}

// The length of the mark that `text` begins with when it is one of those outside ASCII that divide words, else 0.
std::size_t foreign_mark_length(std::string_view text) {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U; };
  switch (byte(0)) {
    case 0xC2:
      return byte(1) == 0xB5 || byte(1) == 0xAA || byte(1) == 0xBA ? 0 : 2;  // « » ¿ ¡, not µ ª º
    case 0xD8:
      return byte(1) == 0x8C || byte(1) == 0x9B || byte(1) == 0x9F ? 2 : 0;  // ، ؛ ؟
    case 0xE0:
      return byte(1) == 0xA5 && (byte(2) == 0xA4 || byte(2) == 0xA5) ? 3 : 0;  // । ॥
    case 0xE2:
      return 3;  // “ ” … – and symbols
    case 0xE3:
      return byte(1) == 0x80 ? 3 : 0;  // 、 。 「 」
    case 0xEF:
      return byte(1) == 0xBC ? 3 : 0;  // ， ： ？ ！
    default:
      return 0;
  }
}

bool is_plain_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

// A letter or a digit; any character outside ASCII but the marks counts as a letter.
bool continues_word(std::string_view text) {
  if (text.empty()) return false;
  const auto byte = static_cast<unsigned char>(text.front());
  if (byte >= 0x80) return foreign_mark_length(text) == 0;
  return is_plain_letter(text.front());
}

struct Term {
  std::string_view text;  // Of the table.
  Sign sign;
  float opening, elsewhere;
  bool begins_anywhere, ends_anywhere;
};

// Terms by their first four bytes, or all of a shorter one, so that a word is compared with the few that begin like it.
class Index {
 public:
  Index() {
    for (const Words& row : kWords) {
      std::string_view rest = row.terms;
      while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('|'), rest.size());
        add(row, rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
    // One flat array in the order of the buckets: bucket b holds terms_[starts_[b]] … terms_[starts_[b + 1] - 1].
    const auto place = [](const Term& term) {
      return std::tuple(bucket(hash(first_bytes(term.text))), term.sign, term.text);
    };
    std::ranges::sort(terms_, {}, place);
    std::size_t at = 0;
    for (std::size_t b = 0; b < kBuckets; ++b) {
      starts_[b] = static_cast<std::uint16_t>(at);
      while (at < terms_.size() && bucket(hash(first_bytes(terms_[at].text))) == b) ++at;
    }
    starts_[kBuckets] = static_cast<std::uint16_t>(at);
  }

  // Every term that begins here, put to use(term).
  template <class Use>
  void match(std::string_view here, bool at_word_start, Use use) const {
    const std::uint32_t first = first_bytes(here);
    const std::array<std::uint32_t, 3> keys{hash(first & 0xffffU), hash(first & 0xffffffU), hash(first)};
    if (!may_have(keys[0]) && !may_have(keys[1]) && !may_have(keys[2])) return;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (may_have(keys[i])) visit(bucket(keys[i]), i + 2, here, at_word_start, use);
    }
  }

 private:
  static constexpr std::size_t kKeyBytes = 4;
  static constexpr std::size_t kBuckets = 4096;

  // The first kKeyBytes, the first one lowest; 0 for those that are missing.
  static std::uint32_t first_bytes(std::string_view text) {
    const auto byte = [&](std::size_t at) { return std::uint32_t{static_cast<unsigned char>(text[at])} << (8 * at); };
    if (text.size() >= kKeyBytes) return byte(0) | byte(1) | byte(2) | byte(3);
    std::uint32_t bytes = 0;
    for (std::size_t i = 0; i < text.size(); ++i) bytes |= byte(i);
    return bytes;
  }
  static std::uint32_t hash(std::uint32_t first_bytes) { return first_bytes * 2654435761U; }
  static std::size_t bucket(std::uint32_t hash) { return hash >> 20U; }
  bool may_have(std::uint32_t hash) const { return ((seen_[hash >> 22U] >> ((hash >> 16U) & 63U)) & 1U) != 0; }

  void add(const Words& row, std::string_view text) {
    if (text.size() < 2) return;
    Term term{.text = {},
              .sign = row.sign,
              .opening = row.opening,
              .elsewhere = row.elsewhere,
              .begins_anywhere = is_unspaced(text),
              .ends_anywhere = is_unspaced(text)};
    if (text.ends_with('*')) {
      text.remove_suffix(1);
      term.ends_anywhere = true;
    }
    term.text = text;
    const std::uint32_t key = hash(first_bytes(text));
    seen_[key >> 22U] |= std::uint64_t{1} << ((key >> 16U) & 63U);
    terms_.push_back(term);
  }

  template <class Use>
  void visit(std::size_t bucket_index, std::size_t key_bytes, std::string_view here, bool at_word_start,
             Use& use) const {
    for (std::size_t i = starts_[bucket_index]; i < starts_[bucket_index + 1]; ++i) {
      const Term& term = terms_[i];
      if (std::min(term.text.size(), kKeyBytes) != key_bytes || !here.starts_with(term.text)) continue;
      if (!at_word_start && !term.begins_anywhere) continue;
      if (!term.ends_anywhere && continues_word(here.substr(term.text.size()))) continue;
      use(term);
    }
  }

  std::array<std::uint64_t, 1024> seen_{};  // A bit for each hash's upper half: most words are turned away by one look.
  std::vector<Term> terms_;
  std::array<std::uint16_t, kBuckets + 1> starts_{};
};

const Index& index() {
  static const Index index;
  return index;
}

}  // namespace

std::span<const Words> word_table() { return kWords; }

void read_words(std::string_view text, const PromptMasks& masks, Features& features) {
  const Index& terms = index();
  constexpr std::size_t kOpeningBytes = 24;  // "could you please …" still opens a sentence.
  std::size_t opening_until = kOpeningBytes;
  std::size_t foreign_letter_end = 0;  // Where the last letter outside ASCII ended.
  std::uint64_t behind_plain = 0;
  const auto look = [&](std::size_t at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::string_view here = text.substr(at);
    if (byte >= 0x80) {
      if (const std::size_t mark = foreign_mark_length(here); mark > 0) {
        if (byte == 0xE3 || byte == 0xEF) opening_until = at + mark + kOpeningBytes;
        return;
      }
    } else if (!is_plain_letter(text[at])) {
      if (byte == '\n' || (here.size() > 1 && here[1] == ' ')) opening_until = at + kOpeningBytes / 2;
      if (byte != '.') return;
    }
    const bool in_word = at > 0 && (foreign_letter_end == at || is_plain_letter(text[at - 1]));
    if (!in_word || byte == '.' || is_unspaced(here)) {
      terms.match(here, !in_word, [&](const Term& term) {
        add_hint(features, term.sign, at < opening_until ? term.opening : term.elsewhere);
      });
    }
    if (byte < 0x80) return;
    foreign_letter_end = at + 1;
    while (foreign_letter_end < text.size() &&
           (static_cast<unsigned char>(text[foreign_letter_end]) & 0xC0U) == 0x80U) {
      ++foreign_letter_end;
    }
  };
  // Nothing begins inside a word of plain letters.
  for (std::size_t block = 0; block < masks.count(); ++block) {
    const ByteMasks& mask = masks[block];
    const std::uint64_t plain = mask.alnum | mask.underscore;
    const std::uint64_t beginnings = plain & ~((plain << 1U) | behind_plain);
    behind_plain = plain >> 63U;
    const std::uint64_t ends = mask.stop | mask.colon | mask.line_feed;
    const std::uint64_t foreign = mask.foreign & ~mask.continuation;
    for_each_bit(beginnings | ends | foreign, [&](std::size_t bit) { look(64 * block + bit); });
  }
}

}  // namespace gbgreg::routing
