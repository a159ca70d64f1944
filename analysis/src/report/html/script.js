(function(){
"use strict";
var all=function(what,from){return Array.prototype.slice.call((from||document).querySelectorAll(what))};
var box=document.getElementById("search"),found=document.getElementById("found");
all(".tools").forEach(function(e){e.hidden=false});
var folds=all("details"),rows=all(".data tbody tr, .log li, .stack li"),open=null;
function fold(to){folds.forEach(function(e){e.open=to})}
document.getElementById("fold").addEventListener("click",function(){fold(false)});
document.getElementById("unfold").addEventListener("click",function(){fold(true)});
function search(){
  var words=box.value.toLowerCase().split(/\s+/).filter(Boolean),hits=0;
  if(words.length&&!open){open=folds.map(function(e){return e.open})}
  var hit=new Set();
  rows.forEach(function(e){
    var text=words.length?e.textContent.toLowerCase():"";
    var shown=words.every(function(w){return text.indexOf(w)>=0});
    e.hidden=!shown;
    if(shown&&words.length){hits++;for(var up=e.parentElement;up;up=up.parentElement){if(up.tagName==="DETAILS"){hit.add(up)}}}
  });
  if(words.length){folds.forEach(function(e){e.open=hit.has(e)})}
  else if(open){folds.forEach(function(e,n){e.open=open[n]});open=null}
  found.textContent=words.length?(hits===1?"1 row matches":hits+" rows match"):"";
}
var wait=0;
box.addEventListener("input",function(){clearTimeout(wait);wait=setTimeout(search,80)});
document.addEventListener("keydown",function(e){
  if(e.key==="/"&&document.activeElement!==box&&!e.ctrlKey&&!e.metaKey&&!e.altKey){e.preventDefault();box.focus();box.select()}
  else if(e.key==="Escape"&&document.activeElement===box){box.value="";search();box.blur()}
});
var printed=null;
addEventListener("beforeprint",function(){printed=folds.map(function(e){return e.open});fold(true)});
addEventListener("afterprint",function(){if(printed){folds.forEach(function(e,n){e.open=printed[n]});printed=null}});
})();
